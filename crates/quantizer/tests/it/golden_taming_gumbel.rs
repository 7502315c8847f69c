//! The Gumbel quantizer against taming-transformers.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{GumbelQuantizer, GumbelQuantizerConfig, Mode, Quantized, Quantizer};
use vqkit_testing::Golden;
use vqkit_torch::weights;

struct Built {
    variables: BTreeMap<String, Tensor>,
    quantizer: GumbelQuantizer,
}

fn build(golden: &Golden, straight_through: bool) -> Built {
    let config = &golden.config()["config"];
    let number = |key: &str| config[key].as_f64().unwrap();
    let mut vs = nn::VarStore::new(Device::Cpu);
    let quantizer = GumbelQuantizerConfig {
        embedding_dim: config["embedding_dim"].as_i64(),
        straight_through,
        kl_weight: number("kl_weight"),
        temp_init: number("temp_init"),
        ..GumbelQuantizerConfig::new(config["n_embed"].as_i64().unwrap())
    };
    let quantizer = quantizer.build(&vs.root(), config["num_hiddens"].as_i64().unwrap()).unwrap();
    weights::assign(&golden.weights(), &mut vs).unwrap();
    Built { variables: weights::tensors(&vs), quantizer }
}

#[test]
fn golden_taming_gumbel() {
    let golden = Golden::open("taming-gumbel");
    evaluation(&golden);
    draw(&golden);
    gradients(&golden, false);
    gradients(&golden, true);
}

fn indices(quantized: &Quantized) -> Tensor {
    quantized.grid.indices.squeeze_dim(1)
}

fn evaluation(golden: &Golden) {
    let Built { quantizer, .. } = build(golden, true);
    let z = golden.input("z");
    golden.close("logits", &quantizer.logits(&z).unwrap());
    for mode in [Mode::Eval, Mode::Frozen] {
        let quantized = quantizer.quantize(&z, None, mode).unwrap();
        golden.equal("indices", &indices(&quantized));
        golden.close("z_q", &quantized.codes);
        golden.close("kl_diff", &quantized.losses.total);
        golden.close("codebook_entry", &quantizer.lookup(&quantized.grid).unwrap());
    }
}

fn draw(golden: &Golden) {
    let Built { quantizer, .. } = build(golden, true);
    let temperature = golden.config()["config"]["temp_init"].as_f64().unwrap();
    let quantized =
        quantizer.quantize_with(&golden.input("z"), None, &golden.input("gumbel_noise"), temperature).unwrap();
    golden.equal("indices_noise", &indices(&quantized));
    golden.close("z_q_noise", &quantized.codes);
}

fn gradients(golden: &Golden, straight_through: bool) {
    let Built { variables, quantizer } = build(golden, straight_through);
    let kind = if straight_through { "hard" } else { "soft" };
    let temperature = golden.config()["config"]["temp_train"].as_f64().unwrap();
    let z = golden.input("z").set_requires_grad(true);
    let quantized = quantizer.quantize_with(&z, None, &golden.input("gumbel_noise"), temperature).unwrap();
    golden.close(&format!("z_q_train_{kind}"), &quantized.codes);
    (quantized.codes.sin().sum(Kind::Float) + quantized.losses.total * 100.0).backward();
    golden.close(&format!("grad_z_{kind}"), &z.grad());
    for name in ["proj.weight", "embed.weight"] {
        let key = format!("grad_{}_{kind}", name.replace('.', "_"));
        if golden.has(&key) {
            golden.close(&key, &variables[name].grad());
        }
    }
}
