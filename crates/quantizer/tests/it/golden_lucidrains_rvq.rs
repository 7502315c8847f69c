//! Residual quantization against vector-quantize-pytorch.

use tch::{Device, Tensor, nn};
use vqkit_quantizer::{
    EmaVectorQuantizerConfig, Mode, Quantized, Quantizer, QuantizerConfig, ResidualQuantizer, ResidualQuantizerConfig,
};
use vqkit_testing::Golden;

use crate::common::{TRAIN, channel_first};
use crate::golden_lucidrains_vq::NAMES;

/// Upstream weighs the levels' terms with 1 where nothing else is said.
fn build(golden: &Golden) -> ResidualQuantizer {
    let config = &golden.config()["config"];
    let whole = |key: &str| config[key].as_i64().unwrap();
    assert_eq!(config["shared_codebook"].as_bool(), Some(false), "levels share no codes here");
    assert_eq!(config["quantize_dropout"].as_bool(), Some(false), "every level is used here");
    let level = EmaVectorQuantizerConfig {
        commitment_weight: config["commitment_weight"].as_f64().unwrap_or(1.0),
        kmeans_init: false,
        ..EmaVectorQuantizerConfig::new(whole("codebook_size"))
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let levels = ResidualQuantizerConfig::new(whole("num_quantizers"), QuantizerConfig::Ema(level));
    let quantizer = levels.build(&vs.root(), whole("dim")).unwrap();
    let (variables, weights) = (vs.variables(), golden.weights());
    for level in 0..whole("num_quantizers") {
        for (theirs, ours) in NAMES {
            let value = weights[&format!("layers.{level}.{theirs}")].squeeze_dim(0);
            variables[&format!("layers.{level}.{ours}")].shallow_clone().copy_(&value);
        }
    }
    quantizer
}

/// The indices `[B, Q, *S]` as `[B, *S, Q]`.
fn indices(quantized: &Quantized) -> Tensor {
    quantized.grid.indices.movedim_int(1, -1)
}

#[test]
fn golden_lucidrains_rvq() {
    let golden = Golden::open("lucidrains-rvq");
    let quantizer = build(&golden);
    let x = channel_first(&golden.input("x"));
    let quantized = quantizer.quantize(&x, None, Mode::Eval).unwrap();
    golden.close("quantized", &channel_first(&quantized.codes));
    golden.equal("indices", &indices(&quantized));
    let codes: Vec<_> = quantized.inner.iter().map(|part| channel_first(&part.quantized.codes)).collect();
    golden.close("all_codes", &Tensor::stack(&codes, 0));
    golden.close("output_from_indices", &channel_first(&quantizer.lookup(&quantized.grid).unwrap()));

    let trained = quantizer.quantize(&x, None, TRAIN).unwrap();
    let losses: Vec<_> = trained.inner.iter().map(|part| part.quantized.losses.total.shallow_clone()).collect();
    golden.close("commit_losses_train", &Tensor::stack(&losses, 0));
}
