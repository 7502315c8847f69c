//! Finite scalar quantization against vector-quantize-pytorch.

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{FiniteScalarQuantizer, FiniteScalarQuantizerConfig, Mode, Quantizer};
use vqkit_testing::Golden;
use vqkit_torch::{TokenGrid, weights};

use crate::common::{TRAIN, channel_first, of_case, probe_of_cosines};

fn build(golden: &Golden, case: &str) -> FiniteScalarQuantizer {
    let config = &golden.config()["config"][case];
    let levels: Vec<i64> = config["levels"].as_array().unwrap().iter().map(|level| level.as_i64().unwrap()).collect();
    let preserve_symmetry = config["preserve_symmetry"].as_bool().unwrap_or(false);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let dim = config["dim"].as_i64().unwrap_or(levels.len() as i64);
    let quantizer = FiniteScalarQuantizerConfig { levels, preserve_symmetry }.build(&vs.root(), dim).unwrap();
    weights::assign(&of_case(&golden.weights(), case), &mut vs).unwrap();
    quantizer
}

#[test]
fn golden_lucidrains_fsq() {
    let golden = Golden::open("lucidrains-fsq");
    for case in golden.config()["config"].as_object().unwrap().keys() {
        quantized(&golden, case);
        codebook(&golden, case);
    }
}

fn quantized(golden: &Golden, case: &str) {
    let quantizer = build(golden, case);
    let key = |name: &str| format!("{case}/{name}");
    let x = golden.input(&key("x")).set_requires_grad(true);
    let quantized = quantizer.quantize(&channel_first(&x), None, TRAIN).unwrap();
    let codes = channel_first(&quantized.codes);
    golden.close(&key("quantized"), &codes);
    golden.equal(&key("indices"), &quantized.grid.indices.squeeze_dim(1));
    golden.close(&key("indices_to_codes"), &channel_first(&quantizer.lookup(&quantized.grid).unwrap()));
    golden.equal(&key("level_indices"), &quantizer.level_indices(&quantized.grid).unwrap().movedim_int(1, -1));
    (&codes * probe_of_cosines(&codes)).sum(Kind::Float).backward();
    golden.close(&key("grad_x"), &x.grad());

    let evaluated = quantizer.quantize(&channel_first(&x), None, Mode::Eval).unwrap();
    golden.equal(&key("indices"), &evaluated.grid.indices.squeeze_dim(1));
}

fn codebook(golden: &Golden, case: &str) {
    let quantizer = build(golden, case);
    let key = |name: &str| format!("{case}/{name}");
    let codes = quantizer.codebooks().remove(0).codes;
    golden.close(&key("implicit_codebook"), &codes);
    let grid: TokenGrid = quantizer.codes_to_indices(&codes.transpose(0, 1).unsqueeze(0)).unwrap();
    let indices: Tensor = grid.indices.flatten(0, -1);
    golden.equal(&key("codes_to_indices_of_codebook"), &indices);
}
