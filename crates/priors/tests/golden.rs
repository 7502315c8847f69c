//! Against what public implementations gave for recorded weights and inputs.

use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, Condition, GatedPixelCnn, GatedPixelCnnConfig, Prior, PriorSpec,
};
use vqkit_testing::Golden;
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

/// The model of the golden, its parameters under their upstream's names.
fn model(golden: &Golden) -> (nn::VarStore, GatedPixelCnn) {
    tch::set_num_threads(1);
    let number = |key: &str| golden.config()["config"][key].as_i64().expect("a hyper-parameter of the upstream");
    let [_, height, width] = golden.input("x").size3().map(<[i64; 3]>::from).expect("x is [B, H, W]");
    let weights = golden.weights();
    let kernel_size =
        |layer: i64| weights.get(&format!("layers.{layer}.vert_stack.weight")).map(|weight| weight.size()[3]);
    // What upstream fixes in its code is in the shapes of its weights; a single layer has no other kernel.
    let defaults = GatedPixelCnnConfig::new(number("dim"), number("n_layers"));
    let config = GatedPixelCnnConfig {
        head_width: weights["output_conv.0.weight"].size()[0],
        first_kernel_size: kernel_size(0).expect("a first layer"),
        kernel_size: kernel_size(1).unwrap_or(defaults.kernel_size),
        ..defaults
    };
    let spec = PriorSpec::new(vec![number("input_dim")], [height, width]).with_classes(number("n_classes"));
    let vs = nn::VarStore::new(Device::Cpu);
    let prior = config.build(&vs.root(), &spec).expect("the golden's hyper-parameters are allowed");
    let mut variables = vs.variables();
    assert!(weights.keys().eq(variables.keys().collect::<std::collections::BTreeSet<_>>()), "names of parameters");
    tch::no_grad(|| {
        for (name, weight) in &weights {
            let variable = variables.get_mut(name).expect("compared above");
            assert_eq!(variable.size(), weight.size(), "{name}");
            variable.copy_(weight);
        }
    });
    (vs, prior)
}

#[test]
fn golden_gated_pixelcnn() {
    let golden = Golden::open("gated-pixelcnn");
    let (vs, prior) = model(&golden);
    let grid =
        |indices: &Tensor| TokenGrid::new(indices.unsqueeze(1), prior.spec().target.sizes.clone()).expect("a grid");
    let target = grid(&golden.input("x"));
    let condition = Condition::none().with_class(golden.input("label"));

    golden.close("logits", &prior.logits(&target, &condition).expect("logits"));
    let loss = prior.loss(from_ref(&target), &condition, false).expect("a loss").image;
    golden.close("loss", &loss);
    loss.backward();
    let variables = vs.variables();
    for key in golden.keys() {
        if let Some(name) = key.strip_prefix("grad/") {
            golden.close(key, &variables[name].grad());
        } else if let Some(name) = key.strip_prefix("state_after/") {
            golden.close(key, &variables[name]);
        }
    }

    let batch = target.batch();
    let greedy = AutoregressiveSampling { temperature: 0.0, ..AutoregressiveSampling::default() };
    let drawn = sample(&prior, &condition, batch, &greedy, 0, None).expect("a sample");
    golden.equal("greedy", &drawn.indices.squeeze_dim(1));
    golden.equal("greedy", &greedy_by_full_passes(&prior, &condition, batch, &grid));
}

/// One pass over the whole grid per position, from zeros.
fn greedy_by_full_passes(
    prior: &GatedPixelCnn,
    condition: &Condition,
    batch: i64,
    grid: &dyn Fn(&Tensor) -> TokenGrid,
) -> Tensor {
    let _guard = tch::no_grad_guard();
    let [height, width] = prior.spec().target.grid;
    let tokens = Tensor::zeros([batch, height, width], (Kind::Int64, Device::Cpu));
    for (row, column) in (0..height * width).map(|position| (position / width, position % width)) {
        let logits = prior.logits(&grid(&tokens), condition).expect("logits");
        let likeliest = logits.select(3, column).select(2, row).argmax(1, false);
        tokens.select(2, column).select(1, row).copy_(&likeliest);
    }
    tokens
}
