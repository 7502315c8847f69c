//! Product quantization against the heads of vector-quantize-pytorch.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    GradientEstimate, Mode, ProductQuantizer, ProductQuantizerConfig, Quantized, Quantizer, QuantizerConfig,
};
use vqkit_testing::Golden;

use crate::common::{TRAIN, channel_first};
use crate::golden_lucidrains_vq::{NAMES, config};

struct Built {
    variables: BTreeMap<String, Tensor>,
    quantizer: ProductQuantizer,
}

fn build(golden: &Golden, gradient: GradientEstimate) -> Built {
    let arguments = &golden.config()["config"];
    let whole = |key: &str| arguments[key].as_i64().unwrap();
    assert_eq!(arguments["separate_codebook_per_head"].as_bool(), Some(true), "groups share no codes here");
    let vs = nn::VarStore::new(Device::Cpu);
    let heads = ProductQuantizerConfig {
        codebook_dim: Some(whole("codebook_dim")),
        ..ProductQuantizerConfig::new(whole("heads"), QuantizerConfig::Ema(config(golden, gradient)))
    };
    let quantizer = heads.build(&vs.root(), whole("dim")).unwrap();
    let (variables, weights): (BTreeMap<_, _>, _) = (vs.variables().into_iter().collect(), golden.weights());
    tch::no_grad(|| {
        for (theirs, value) in &weights {
            if theirs.starts_with("project_") {
                variables[theirs].shallow_clone().copy_(value);
            }
        }
        for head in 0..whole("heads") {
            for (theirs, ours) in NAMES {
                variables[&format!("groups.{head}.{ours}")].shallow_clone().copy_(&weights[theirs].get(head));
            }
        }
    });
    Built { variables, quantizer }
}

/// The indices `[B, Q, *S]` as `[B, *S, Q]`.
fn indices(quantized: &Quantized) -> Tensor {
    quantized.grid.indices.movedim_int(1, -1)
}

#[test]
fn golden_lucidrains_vq_heads() {
    let golden = Golden::open("lucidrains-vq-heads");
    evaluation(&golden);
    training_step(&golden);
    gradients(&golden, GradientEstimate::Rotation, "rotation");
    gradients(&golden, GradientEstimate::StraightThrough, "ste");
}

fn evaluation(golden: &Golden) {
    let Built { quantizer, .. } = build(golden, GradientEstimate::StraightThrough);
    let quantized = quantizer.quantize(&channel_first(&golden.input("x")), None, Mode::Eval).unwrap();
    golden.close("quantized_eval", &channel_first(&quantized.codes));
    golden.equal("indices", &indices(&quantized));
    golden.close("output_from_indices", &channel_first(&quantizer.lookup(&quantized.grid).unwrap()));
    let codes: Vec<_> = quantized.inner.iter().map(|part| channel_first(&part.quantized.codes)).collect();
    golden.close("codes_from_indices", &Tensor::cat(&codes, -1));
}

fn training_step(golden: &Golden) {
    let Built { variables, mut quantizer } = build(golden, GradientEstimate::StraightThrough);
    let x = channel_first(&golden.input("x")).set_requires_grad(true);
    let quantized = quantizer.quantize(&x, None, TRAIN).unwrap();
    golden.close("quantized_train", &channel_first(&quantized.codes));
    golden.equal("indices", &indices(&quantized));
    golden.close("commit_loss", &quantized.losses.total);
    golden.close("commitment_unweighted", &quantized.losses.commitment);
    quantized.losses.total.backward();
    golden.close("grad_x_commit", &channel_first(&x.grad()));

    quantizer.update(&x, &quantized).unwrap();
    let heads = golden.config()["config"]["heads"].as_i64().unwrap();
    for (theirs, ours) in NAMES {
        let of_heads: Vec<_> = (0..heads).map(|head| &variables[&format!("groups.{head}.{ours}")]).collect();
        golden.close(&format!("state_after/{theirs}"), &Tensor::stack(&of_heads, 0));
    }
}

fn gradients(golden: &Golden, gradient: GradientEstimate, name: &str) {
    let Built { quantizer, .. } = build(golden, gradient);
    let x = golden.input("x").set_requires_grad(true);
    let codes = channel_first(&quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap().codes);
    golden.close(&format!("quantized_{name}"), &codes);
    (codes * golden.input("probe")).sum(Kind::Float).backward();
    golden.close(&format!("grad_x_{name}"), &x.grad());
}
