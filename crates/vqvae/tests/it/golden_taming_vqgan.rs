//! The VQGAN autoencoder against taming-transformers.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_torch::weights;
use vqkit_vqvae::{Tokenizer, VqganConfig};

use crate::built::taming_network;

const TRAIN: Mode = Mode::Train { step: 0 };

/// Which term upstream's `beta` weighs.
#[derive(Debug, Clone, Copy)]
enum Convention {
    /// `legacy=True`: the term that moves the codes.
    Legacy,
    /// `legacy=False`: the term that holds the latents to their codes.
    Nonlegacy,
}

impl Convention {
    const ALL: [Self; 2] = [Self::Legacy, Self::Nonlegacy];

    fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Nonlegacy => "nonlegacy",
        }
    }

    fn quantizer(self, golden: &Golden) -> QuantizerConfig {
        let config = &golden.config()["config"];
        let beta = config["beta"].as_f64().unwrap();
        let (codebook_weight, commitment_weight) = match self {
            Self::Legacy => (beta, 1.0),
            Self::Nonlegacy => (1.0, beta),
        };
        let size = config["n_embed"].as_i64().unwrap();
        let plain = VectorQuantizerConfig { kmeans_init: false, revive_after: 0, ..VectorQuantizerConfig::new(size) };
        QuantizerConfig::Vq(VectorQuantizerConfig { codebook_weight, commitment_weight, ..plain })
    }
}

fn network(golden: &Golden) -> VqganConfig {
    let config = &golden.config()["config"];
    assert!(config["remap"].is_null());
    taming_network(config)
}

fn in_channels(golden: &Golden) -> i64 {
    golden.config()["config"]["ddconfig"]["in_channels"].as_i64().unwrap()
}

struct Built {
    variables: BTreeMap<String, Tensor>,
    tokenizer: Tokenizer,
}

/// Upstream's model: every weight by upstream's name, and beside them only the state of our quantizer.
fn build(golden: &Golden, network: &VqganConfig, convention: Convention) -> Built {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = network.build(&vs.root(), in_channels(golden), &convention.quantizer(golden)).unwrap();
    let variables = weights::tensors(&vs);
    let mut values = golden.weights();
    for name in ["quantize.age", "quantize.initted"] {
        values.insert(name.into(), variables[name].copy());
    }
    weights::assign(&values, &mut vs).unwrap();
    Built { variables, tokenizer }
}

#[test]
fn golden_taming_vqgan() {
    check("taming-vqgan");
}

#[test]
fn golden_taming_vqgan_formula() {
    check("taming-vqgan-formula");
}

fn check(component: &str) {
    let golden = Golden::open(component);
    for suffix in ["", "_wide"].into_iter().filter(|suffix| golden.has(&format!("x{suffix}"))) {
        encoder(&golden, suffix);
        evaluation(&golden, suffix);
    }
    for convention in Convention::ALL {
        training_step(&golden, convention);
    }
}

/// With a `quant_conv` that hands everything on, the latents are what the encoder gives.
fn encoder(golden: &Golden, suffix: &str) {
    let config = VqganConfig { embed_dim: network(golden).z_channels, ..network(golden) };
    let mut vs = nn::VarStore::new(Device::Cpu);
    let quantizer = Convention::Legacy.quantizer(golden);
    let tokenizer = config.build(&vs.root(), in_channels(golden), &quantizer).unwrap();
    let mut values = weights::tensors(&vs);
    for (name, value) in golden.weights().into_iter().filter(|(name, _)| name.starts_with("encoder.")) {
        assert!(values.insert(name.clone(), value).is_some(), "{name} is none of ours");
    }
    let identity = Tensor::eye(config.embed_dim, (Kind::Float, Device::Cpu)).unsqueeze(-1).unsqueeze(-1);
    values.insert("quant_conv.weight".into(), identity);
    values.insert("quant_conv.bias".into(), Tensor::zeros([config.embed_dim], (Kind::Float, Device::Cpu)));
    weights::assign(&values, &mut vs).unwrap();
    let x = golden.input(&format!("x{suffix}"));
    golden.close(&format!("encoder_out{suffix}"), &tokenizer.forward(&x, Mode::Eval).unwrap().latents[0]);
}

fn evaluation(golden: &Golden, suffix: &str) {
    let key = |name: &str| format!("{name}{suffix}");
    for convention in Convention::ALL {
        let Built { tokenizer, .. } = build(golden, &network(golden), convention);
        let output = tokenizer.forward(&golden.input(&key("x")), Mode::Eval).unwrap();
        golden.close(&key("prequant"), &output.latents[0]);
        golden.equal(&key("indices"), &output.levels[0].grid.indices.squeeze_dim(1));
        golden.close(&key("z_q"), &output.levels[0].codes);
        golden.close(&key("reconstruction"), &output.images);
        let loss = key(&format!("codebook_loss_{}", convention.name()));
        golden.close(&loss, &output.levels[0].losses.total);
        let tokens: Vec<_> = output.levels.into_iter().map(|level| level.grid).collect();
        golden.close(&key("reconstruction"), &tokenizer.decode(&tokens).unwrap());
    }
}

/// Upstream's gradients are those of evaluation, in which nothing is dropped.
fn training_step(golden: &Golden, convention: Convention) {
    let Built { variables, tokenizer } = build(golden, &VqganConfig { dropout: 0.0, ..network(golden) }, convention);
    assert_eq!(tokenizer.last_layer(), &variables["decoder.conv_out.weight"]);
    let x = golden.input("x");
    let output = tokenizer.forward(&x, TRAIN).unwrap();
    let total = (&x - &output.images).abs().mean(Kind::Float) + &output.levels[0].losses.total;
    golden.close(&format!("total_{}", convention.name()), &total);
    total.backward();
    let prefix = format!("grad_{}/", convention.name());
    for key in golden.keys().filter(|key| key.starts_with(&prefix)) {
        golden.close(key, &variables[&key[prefix.len()..]].grad());
    }
}
