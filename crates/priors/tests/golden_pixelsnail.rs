//! PixelSNAIL against what rosinality/vq-vae-2-pytorch gave for recorded weights and inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, Condition, GridSpec, PixelSnail, PixelSnailConfig, Prior, PriorSpec,
};
use vqkit_testing::Golden;
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

#[test]
fn golden_pixelsnail_top() {
    compare("pixelsnail-top");
}

#[test]
fn golden_pixelsnail_bottom() {
    compare("pixelsnail-bottom");
}

fn compare(component: &str) {
    let golden = Golden::open(component);
    let prior = model(&golden);
    let target = grid(&golden.input("x"), &prior.spec().target.sizes);
    let mut condition = Condition::none();
    if let Some(spec) = prior.spec().condition_grids.first() {
        condition = condition.with_grid(grid(&golden.input("condition"), &spec.sizes));
    }
    golden.close("logits", &prior.logits(&target, &condition).expect("logits"));
    golden.close("loss", &prior.loss(from_ref(&target), &condition, false).expect("a loss").image);
    if golden.has("logits_without_condition") {
        let logits = prior.logits_without_grids(&target, &Condition::none());
        golden.close("logits_without_condition", &logits.expect("logits"));
    }
    let greedy = AutoregressiveSampling { temperature: 0.0, ..AutoregressiveSampling::default() };
    let drawn = sample(&prior, &condition, target.batch(), &greedy, 0, None).expect("a sample");
    golden.equal("greedy", &drawn.indices.squeeze_dim(1));
    golden.equal("greedy", &greedy_by_full_passes(&prior, &condition, target.batch()));
}

/// The model of the golden, its parameters under their upstream's names.
fn model(golden: &Golden) -> PixelSnail {
    tch::set_num_threads(1);
    let weights = golden.weights();
    let mut vs = nn::VarStore::new(Device::Cpu);
    let prior = config(golden, &weights).build(&vs.root(), &spec(golden, &weights)).expect("allowed hyper-parameters");
    let background = vs.variables()["background"].copy();
    assert!(background.allclose(&weights["background"], 0.0, 1e-7, false), "where positions lie");
    assert_eq!(weights.keys().collect::<BTreeSet<_>>(), vs.variables().keys().collect(), "names of parameters");
    vqkit_torch::weights::assign(&weights, &mut vs).expect("shapes and kinds of the upstream");
    prior
}

/// The hyper-parameters; those that upstream leaves at its defaults are not in the recording.
fn config(golden: &Golden, weights: &BTreeMap<String, Tensor>) -> PixelSnailConfig {
    let keys = &golden.config()["config"];
    let number = |key: &str| keys[key].as_i64();
    let needed = |key: &str| number(key).unwrap_or_else(|| panic!("`{key}` of the upstream"));
    let defaults = PixelSnailConfig::new(
        needed("channel"),
        needed("kernel_size"),
        needed("n_block"),
        needed("n_res_block"),
        needed("res_channel"),
    );
    PixelSnailConfig {
        attention: keys["attention"].as_bool().unwrap_or(defaults.attention),
        dropout: keys["dropout"].as_f64().unwrap_or(defaults.dropout),
        n_cond_res_block: number("n_cond_res_block").unwrap_or(defaults.n_cond_res_block),
        cond_res_channel: number("cond_res_channel").unwrap_or(defaults.cond_res_channel),
        cond_res_kernel: first_of_condition(weights).map_or(defaults.cond_res_kernel, |weight| weight.size()[3]),
        n_out_res_block: number("n_out_res_block").unwrap_or(defaults.n_out_res_block),
        ..defaults
    }
}

fn spec(golden: &Golden, weights: &BTreeMap<String, Tensor>) -> PriorSpec {
    let [_, height, width] = golden.input("x").size3().map(<[i64; 3]>::from).expect("x is [B, H, W]");
    let codes = golden.config()["config"]["n_class"].as_i64().expect("`n_class` of the upstream");
    let spec = PriorSpec::new(vec![codes], [height, width]);
    let Some(first) = first_of_condition(weights) else { return spec };
    let [_, height, width] = golden.input("condition").size3().map(<[i64; 3]>::from).expect("[B, h, w]");
    spec.with_condition_grid(GridSpec { sizes: vec![first.size()[1]], grid: [height, width] })
}

/// The first convolution on the condition, `[F, K, k, k]`.
fn first_of_condition(weights: &BTreeMap<String, Tensor>) -> Option<&Tensor> {
    weights.get("cond_resnet.blocks.0.conv.weight_v")
}

fn grid(indices: &Tensor, sizes: &[i64]) -> TokenGrid {
    TokenGrid::new(indices.unsqueeze(1), sizes.to_vec()).expect("a grid")
}

/// One pass over the whole grid per position, from zeros.
fn greedy_by_full_passes(prior: &PixelSnail, condition: &Condition, batch: i64) -> Tensor {
    let _guard = tch::no_grad_guard();
    let [height, width] = prior.spec().target.grid;
    let tokens = Tensor::zeros([batch, height, width], (Kind::Int64, Device::Cpu));
    for (row, column) in (0..height * width).map(|position| (position / width, position % width)) {
        let logits = prior.logits(&grid(&tokens, &prior.spec().target.sizes), condition).expect("logits");
        let likeliest = logits.select(3, column).select(2, row).argmax(1, false);
        tokens.select(2, column).select(1, row).copy_(&likeliest);
    }
    tokens
}
