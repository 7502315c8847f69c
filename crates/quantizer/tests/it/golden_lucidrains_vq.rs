//! The moving-average quantizer against vector-quantize-pytorch, by distance and by angle.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{EmaVectorQuantizer, EmaVectorQuantizerConfig, GradientEstimate, Metric, Mode, Quantizer};
use vqkit_testing::Golden;

use crate::common::{TRAIN, channel_first};

/// Upstream's names, and ours; upstream has an axis of heads in front.
pub const NAMES: [(&str, &str); 3] = [
    ("_codebook.embed", "embedding.weight"),
    ("_codebook.embed_avg", "embed_avg"),
    ("_codebook.cluster_size", "cluster_size"),
];

struct Built {
    variables: BTreeMap<String, Tensor>,
    quantizer: EmaVectorQuantizer,
}

/// Upstream's arguments, which upstream has alike for one head and for several.
pub fn config(golden: &Golden, gradient: GradientEstimate) -> EmaVectorQuantizerConfig {
    let config = &golden.config()["config"];
    let number = |key: &str| config[key].as_f64().unwrap();
    let flags = [("learnable_codebook", false), ("ema_update", true), ("stochastic_sample_codes", false)];
    for (key, value) in flags {
        assert_eq!(config[key].as_bool(), Some(value), "{key}");
    }
    assert_eq!(number("threshold_ema_dead_code"), 0.0, "upstream revives codes at random");
    EmaVectorQuantizerConfig {
        codebook_size: config["codebook_size"].as_i64().unwrap(),
        decay: number("decay"),
        eps: number("eps"),
        commitment_weight: number("commitment_weight"),
        kmeans_init: config["kmeans_init"].as_bool().unwrap(),
        revive_after: 0,
        gradient,
        metric: if config["use_cosine_sim"].as_bool() == Some(true) { Metric::Cosine } else { Metric::Euclidean },
        sample_temperature: 0.0,
    }
}

/// Upstream's codebook, in the state before anything ran.
fn build(golden: &Golden, gradient: GradientEstimate) -> Built {
    let vs = nn::VarStore::new(Device::Cpu);
    let dim = golden.config()["config"]["dim"].as_i64().unwrap();
    let quantizer = config(golden, gradient).build(&vs.root(), dim).unwrap();
    let variables: BTreeMap<_, _> = vs.variables().into_iter().collect();
    let weights = golden.weights();
    for (theirs, ours) in NAMES {
        let value = weights[theirs].squeeze_dim(0);
        assert_eq!(value.size(), variables[ours].size(), "{theirs}");
        variables[ours].shallow_clone().copy_(&value);
    }
    variables["initted"].shallow_clone().copy_(&weights["_codebook.initted"].to_kind(Kind::Float).view([1]));
    Built { variables, quantizer }
}

#[test]
fn golden_lucidrains_vq() {
    reproduce("lucidrains-vq");
}

#[test]
fn golden_lucidrains_vq_cosine() {
    reproduce("lucidrains-vq-cosine");
}

fn reproduce(component: &str) {
    let golden = Golden::open(component);
    evaluation(&golden);
    training_step(&golden);
    gradients(&golden, GradientEstimate::Rotation, "quantized_rotation", "grad_x_rotation");
    gradients(&golden, GradientEstimate::StraightThrough, "quantized_ste", "grad_x_ste");
}

fn evaluation(golden: &Golden) {
    let Built { quantizer, .. } = build(golden, GradientEstimate::StraightThrough);
    let quantized = quantizer.quantize(&channel_first(&golden.input("x")), None, Mode::Eval).unwrap();
    golden.close("quantized_eval", &channel_first(&quantized.codes));
    golden.equal("indices", &quantized.grid.indices.squeeze_dim(1));
    let codes = channel_first(&quantizer.lookup(&quantized.grid).unwrap());
    golden.close("codes_from_indices", &codes);
    golden.close("output_from_indices", &codes);
}

fn training_step(golden: &Golden) {
    let Built { variables, mut quantizer } = build(golden, GradientEstimate::StraightThrough);
    let x = channel_first(&golden.input("x")).set_requires_grad(true);
    let quantized = quantizer.quantize(&x, None, TRAIN).unwrap();
    golden.close("quantized_train", &channel_first(&quantized.codes));
    golden.equal("indices", &quantized.grid.indices.squeeze_dim(1));
    golden.close("commit_loss", &quantized.losses.total);
    golden.close("commitment_unweighted", &quantized.losses.commitment);
    quantized.losses.total.backward();
    golden.close("grad_x_commit", &channel_first(&x.grad()));

    quantizer.initialize(&x).unwrap();
    quantizer.update(&x, &quantized).unwrap();
    for (theirs, ours) in NAMES {
        golden.close(&format!("state_after/{theirs}"), &variables[ours].unsqueeze(0));
    }
    golden.equal("state_after/_codebook.initted", &variables["initted"].squeeze().gt(0.0));
}

fn gradients(golden: &Golden, gradient: GradientEstimate, value_key: &str, gradient_key: &str) {
    let Built { quantizer, .. } = build(golden, gradient);
    let x = golden.input("x").set_requires_grad(true);
    let codes = channel_first(&quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap().codes);
    golden.close(value_key, &codes);
    (codes * golden.input("probe")).sum(Kind::Float).backward();
    golden.close(gradient_key, &x.grad());
}
