//! The quantizers of SEED-Voken: index backpropagation, and Open-MAGVIT2's lookup-free quantization.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    BitOrder, IndexBackpropagationQuantizerConfig, LookupFreeQuantizer, LookupFreeQuantizerConfig, Mode, Quantizer,
};
use vqkit_testing::Golden;
use vqkit_torch::{TokenGrid, weights};

use crate::common::TRAIN;

type Tensors = BTreeMap<String, Tensor>;

/// The weights that the recordings give to the terms of a loss.
const IBQ_ENTROPY_WEIGHT: f64 = 0.05;
const LFQ_ENTROPY_WEIGHT: f64 = 0.1;
const LFQ_COMMITMENT_WEIGHT: f64 = 0.25;
/// Upstream keeps mean probabilities away from the logarithm of zero.
const EPS: f64 = 1e-5;

/// Runs every case, and compares all that is recorded of it.
fn check(golden: &Golden, computed: fn(&Golden, &str, &Value) -> Tensors) {
    let cases = golden.config()["config"].as_object().unwrap();
    let mut outputs = Tensors::new();
    for (case, config) in cases {
        let of_case = computed(golden, case, config).into_iter();
        outputs.extend(of_case.map(|(key, value)| (format!("{case}/{key}"), value)));
    }
    for key in golden.keys().filter(|key| !key.ends_with("/z")) {
        golden.close(key, outputs.get(key).unwrap_or_else(|| panic!("nothing was computed for {key}")));
    }
}

fn named<const N: usize>(outputs: [(&str, Tensor); N]) -> Tensors {
    outputs.map(|(key, value)| (key.to_owned(), value)).into()
}

fn number(config: &Value, key: &str) -> f64 {
    config[key].as_f64().unwrap()
}

#[test]
fn golden_seed_ibq_quant() {
    check(&Golden::open("seed-ibq-quant"), ibq);
}

fn ibq_config(config: &Value) -> IndexBackpropagationQuantizerConfig {
    let plain = IndexBackpropagationQuantizerConfig {
        codebook_weight: number(config, "beta"),
        commitment_weight: 1.0,
        entropy_weight: 0.0,
        ..IndexBackpropagationQuantizerConfig::new(config["n_e"].as_i64().unwrap())
    };
    if !config["use_entropy_loss"].as_bool().unwrap() {
        return plain;
    }
    IndexBackpropagationQuantizerConfig {
        entropy_weight: IBQ_ENTROPY_WEIGHT,
        entropy_temperature: number(config, "entropy_temperature"),
        sample_minimization_weight: number(config, "sample_minimization_weight"),
        batch_maximization_weight: number(config, "batch_maximization_weight"),
        ..plain
    }
}

fn ibq(golden: &Golden, case: &str, config: &Value) -> Tensors {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let ours = ibq_config(config);
    let quantizer = ours.build(&vs.root(), config["e_dim"].as_i64().unwrap()).unwrap();
    weights::assign(&case_weights(golden, case), &mut vs).unwrap();
    let z = golden.input(&format!("{case}/z")).set_requires_grad(true);
    let quantized = quantizer.quantize(&z, None, TRAIN).unwrap();
    let losses = &quantized.losses;
    let total = &losses.total + quantized.codes.sin().mean(Kind::Float);
    total.backward();
    let (sample, batch) = quantizer.entropies(&z.detach(), None).unwrap();
    named([
        ("indices", quantized.grid.indices.squeeze_dim(1)),
        ("quant_loss", &losses.total - &losses.entropy * ours.entropy_weight),
        ("sample_entropy", sample),
        ("avg_entropy", batch),
        ("entropy_loss", losses.entropy.shallow_clone()),
        ("z_q", quantized.codes),
        ("total", total),
        ("grad/z", z.grad()),
        ("grad/embedding.weight", vs.variables()["embedding.weight"].grad()),
    ])
}

/// The weights of one case, without its name. They are recorded in f64; upstream computed in f32.
fn case_weights(golden: &Golden, case: &str) -> Tensors {
    let of_case = |(name, value): (String, Tensor)| {
        let rest = name.strip_prefix(case)?;
        Some((rest.trim_start_matches(['.', '/']).to_owned(), value.to_kind(Kind::Float)))
    };
    golden.weights().into_iter().filter_map(of_case).collect()
}

#[test]
fn golden_seed_lfq_quant() {
    check(&Golden::open("seed-lfq-quant"), lfq);
}

fn lfq_quantizer(config: &Value) -> LookupFreeQuantizer {
    let (sample, batch) = (number(config, "sample_minimization_weight"), number(config, "batch_maximization_weight"));
    let is_factorized = config["token_factorization"].as_bool().unwrap();
    let bits = || serde_json::from_value(config["factorized_bits"].clone()).unwrap();
    let ours = LookupFreeQuantizerConfig {
        entropy_weight: LFQ_ENTROPY_WEIGHT * sample,
        diversity_gamma: batch / sample,
        entropy_eps: EPS,
        commitment_weight: LFQ_COMMITMENT_WEIGHT,
        bit_order: BitOrder::LsbFirst,
        factorized_bits: is_factorized.then(bits),
        ..LookupFreeQuantizerConfig::new(config["codebook_size"].as_i64().unwrap())
    };
    ours.build(&nn::VarStore::new(Device::Cpu).root(), config["dim"].as_i64().unwrap()).unwrap()
}

fn lfq(golden: &Golden, case: &str, config: &Value) -> Tensors {
    let quantizer = lfq_quantizer(config);
    let z = golden.input(&format!("{case}/z")).set_requires_grad(true);
    let quantized = quantizer.quantize(&z, None, TRAIN).unwrap();
    let losses = &quantized.losses;
    let total = &losses.total + quantized.codes.sin().mean(Kind::Float);
    total.backward();
    let (sample, batch) = quantizer.entropies(&z.detach(), None).unwrap();
    let mut outputs = named([
        ("entropy_aux_loss", &losses.entropy * number(config, "sample_minimization_weight")),
        ("per_sample_entropy", sample),
        ("codebook_entropy", batch),
        ("commit_loss", losses.commitment.shallow_clone()),
        ("z_q", quantized.codes.shallow_clone()),
        ("total", total),
        ("grad/z", z.grad()),
    ]);
    outputs.extend(entries(&quantizer, &quantized.grid));
    let seen = quantizer.quantize(&z.detach(), None, Mode::Eval).unwrap();
    assert_eq!(seen.grid.indices, quantized.grid.indices);
    outputs
}

/// The indices, and the codes that are looked up for them; of a token in two parts, those of each.
fn entries(quantizer: &LookupFreeQuantizer, grid: &TokenGrid) -> Tensors {
    let codes = quantizer.lookup(grid).unwrap();
    let bits: Vec<_> = grid.sizes.iter().map(|size| i64::from(size.ilog2())).collect();
    let parts = codes.split_with_sizes(&bits, 1).into_iter().zip(grid.indices.unbind(1));
    let suffixes = if bits.len() == 1 { vec![""] } else { vec!["_pre", "_post"] };
    let named = |(suffix, (entry, indices)): (&str, (Tensor, Tensor))| {
        [(format!("entry{suffix}"), entry), (format!("indices{suffix}"), indices)]
    };
    suffixes.into_iter().zip(parts).flat_map(named).collect()
}
