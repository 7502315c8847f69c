//! SimVQ against vector-quantize-pytorch.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{GradientEstimate, Mode, Quantizer, SimVectorQuantizer, SimVectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_torch::weights;

use crate::common::{TRAIN, channel_first};

struct Built {
    variables: BTreeMap<String, Tensor>,
    quantizer: SimVectorQuantizer,
}

/// Upstream weighs the whole loss, and in it the term that holds the latents.
fn build(golden: &Golden, gradient: GradientEstimate) -> Built {
    let config = &golden.config()["config"];
    let number = |key: &str| config[key].as_f64().unwrap();
    let mut vs = nn::VarStore::new(Device::Cpu);
    let quantizer = SimVectorQuantizerConfig {
        frozen_codebook_dim: config["frozen_codebook_dim"].as_i64(),
        codebook_weight: number("commitment_weight"),
        commitment_weight: number("commitment_weight") * number("input_to_quantize_commit_loss_weight"),
        gradient,
        ..SimVectorQuantizerConfig::new(config["codebook_size"].as_i64().unwrap())
    };
    let quantizer = quantizer.build(&vs.root(), config["dim"].as_i64().unwrap()).unwrap();
    let renamed = |(name, value): (String, Tensor)| (name.replace("code_transform.0.", "code_transform."), value);
    weights::assign(&golden.weights().into_iter().map(renamed).collect(), &mut vs).unwrap();
    Built { variables: weights::tensors(&vs), quantizer }
}

#[test]
fn golden_lucidrains_simvq() {
    reproduce("lucidrains-simvq");
}

#[test]
fn golden_lucidrains_simvq_dim() {
    reproduce("lucidrains-simvq-dim");
}

fn reproduce(component: &str) {
    let golden = Golden::open(component);
    let quantizer = build(&golden, GradientEstimate::Rotation).quantizer;
    golden.close("codebook", &quantizer.codebooks()[0].codes);
    let quantized = quantizer.quantize(&channel_first(&golden.input("x")), None, Mode::Eval).unwrap();
    golden.equal("indices", &quantized.grid.indices.squeeze_dim(1));
    golden.close("commit_loss", &quantized.losses.total);
    golden.close("indices_to_codes", &channel_first(&quantizer.lookup(&quantized.grid).unwrap()));
    gradients(&golden, GradientEstimate::Rotation, "rotation");
    gradients(&golden, GradientEstimate::StraightThrough, "ste");
}

fn gradients(golden: &Golden, gradient: GradientEstimate, name: &str) {
    let Built { variables, quantizer } = build(golden, gradient);
    let x = golden.input("x").set_requires_grad(true);
    let quantized = quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap();
    let codes = channel_first(&quantized.codes);
    golden.close(&format!("quantized_{name}"), &codes);
    golden.close("commit_loss", &quantized.losses.total);
    ((codes * golden.input("probe")).sum(Kind::Float) + quantized.losses.total * 10.0).backward();
    golden.close(&format!("grad_x_{name}"), &x.grad());
    golden.close(&format!("grad_transform_{name}"), &variables["code_transform.weight"].grad());
}
