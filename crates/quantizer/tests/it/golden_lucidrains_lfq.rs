//! Lookup-free quantization, also on the sphere, against vector-quantize-pytorch.

use tch::{Device, Kind, nn};
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, LookupFreeQuantizer, LookupFreeQuantizerConfig, Mode, Quantizer,
};
use vqkit_testing::Golden;
use vqkit_torch::weights;

use crate::common::{TRAIN, channel_first, of_case, probe_of_cosines};

/// Upstream keeps probabilities away from the logarithm of zero.
const UPSTREAM_FLOOR: f64 = 1e-5;

fn build(golden: &Golden, case: &str, inv_temperature: f64) -> LookupFreeQuantizer {
    let config = &golden.config()["config"][case];
    let number = |key: &str| config[key].as_f64().unwrap();
    let ours = LookupFreeQuantizerConfig {
        entropy_weight: number("entropy_loss_weight"),
        diversity_gamma: number("diversity_gamma"),
        commitment_weight: number("commitment_loss_weight"),
        entropy_floor: UPSTREAM_FLOOR,
        inv_temperature,
        ..LookupFreeQuantizerConfig::new(config["codebook_size"].as_i64().unwrap())
    };
    let mut vs = nn::VarStore::new(Device::Cpu);
    let (root, dim) = (vs.root(), config["dim"].as_i64().unwrap_or(i64::from(ours.codebook_size.ilog2())));
    let quantizer = match config["spherical"].as_bool() {
        Some(true) => BinarySphericalQuantizerConfig(ours).build(&root, dim),
        _ => ours.build(&root, dim),
    };
    let mut recorded = of_case(&golden.weights(), case);
    assert!(recorded.remove("mask").is_some(), "upstream keeps the weights of the bits");
    weights::assign(&recorded, &mut vs).unwrap();
    quantizer.unwrap()
}

#[test]
fn golden_lucidrains_lfq() {
    let golden = Golden::open("lucidrains-lfq");
    for case in golden.config()["config"].as_object().unwrap().keys() {
        evaluation(&golden, case);
        let temperatures =
            golden.keys().filter_map(|key| key.strip_prefix(&format!("{case}/t"))?.strip_suffix("_aux_loss"));
        for temperature in temperatures {
            losses(&golden, case, temperature);
        }
        gradient(&golden, case);
    }
}

fn evaluation(golden: &Golden, case: &str) {
    let quantizer = build(golden, case, 1.0);
    let key = |name: &str| format!("{case}/{name}");
    let x = channel_first(&golden.input(&key("x")));
    let quantized = quantizer.quantize(&x, None, Mode::Eval).unwrap();
    golden.close(&key("quantized"), &channel_first(&quantized.codes));
    golden.equal(&key("indices"), &quantized.grid.indices.squeeze_dim(1));
    golden.close(&key("indices_to_codes"), &channel_first(&quantizer.lookup(&quantized.grid).unwrap()));
}

fn losses(golden: &Golden, case: &str, temperature: &str) {
    let quantizer = build(golden, case, temperature.parse().unwrap());
    let key = |name: &str| format!("{case}/t{temperature}_{name}");
    let x = golden.input(&format!("{case}/x")).set_requires_grad(true);
    let losses = quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap().losses;
    golden.close(&key("aux_loss"), &losses.total);
    golden.close(&key("commitment"), &losses.commitment);
    let (sample, batch) = quantizer.entropies(&channel_first(&x), None).unwrap();
    golden.close(&key("per_sample_entropy"), &sample);
    golden.close(&key("batch_entropy"), &batch);
    losses.total.backward();
    golden.close(&key("grad_x_aux"), &x.grad());
}

fn gradient(golden: &Golden, case: &str) {
    let quantizer = build(golden, case, 1.0);
    let x = golden.input(&format!("{case}/x")).set_requires_grad(true);
    let codes = channel_first(&quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap().codes);
    (&codes * probe_of_cosines(&codes)).sum(Kind::Float).backward();
    golden.close(&format!("{case}/grad_x_quantized"), &x.grad());
}
