//! The tokenizers of SEED-Voken, IBQ and Open-MAGVIT2, from its own checkpoints, with the plain weights and with their
//! averages.

use serde_json::Value;
use tch::{Device, Tensor, nn};
use vqkit_quantizer::{
    BitOrder, IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Mode, Quantized, QuantizerConfig,
};
use vqkit_testing::Golden;
use vqkit_torch::{TokenGrid, weights};
use vqkit_vqvae::{Magvit2Config, Reconstruction, Tokenizer, TokenizerConfig};

use crate::built::{Built, Tensors, build, taming_network};

/// Which weights of a checkpoint.
#[derive(Debug, Clone, Copy)]
enum Which {
    Raw,
    Averaged,
}

impl Which {
    /// Beginning of the keys of what was recorded.
    fn key(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Averaged => "ema",
        }
    }

    /// What upstream calls the weight that we call `name`: in the names of averages are no dots.
    fn theirs(self, name: &str) -> String {
        match self {
            Self::Raw => name.to_owned(),
            Self::Averaged => format!("model_ema.{}", name.replace('.', "")),
        }
    }
}

#[test]
fn golden_seed_voken_ibq_ckpt() {
    check("seed-voken-ibq-ckpt", ibq);
}

#[test]
fn golden_seed_voken_ibq_ckpt_noema() {
    check("seed-voken-ibq-ckpt-noema", ibq);
}

#[test]
fn golden_seed_voken_lfq_ckpt() {
    check("seed-voken-lfq-ckpt", lfq);
}

fn check(component: &str, computed: fn(&Golden, &Tensors, Which) -> Tensors) {
    let golden = Golden::open(component);
    let config = golden.config();
    let file = weights::read_torch(&golden.path(config["file"].as_str().unwrap())).unwrap();
    let averaged = config["config"]["use_ema"].as_bool().unwrap().then_some(Which::Averaged);
    let mut outputs = Tensors::new();
    for which in [Which::Raw].into_iter().chain(averaged) {
        let of_weights = computed(&golden, &file, which).into_iter();
        outputs.extend(of_weights.map(|(key, value)| (format!("{}/{key}", which.key()), value)));
    }
    outputs.extend(file.into_iter().map(|(name, value)| (format!("state_dict/{name}"), value)));
    for key in golden.keys().filter(|key| *key != "x") {
        golden.close(key, outputs.get(key).unwrap_or_else(|| panic!("nothing was computed for {key}")));
    }
}

/// The tokenizer with the weights of a file, which has others beside them: those of the losses.
fn built(network: &TokenizerConfig, quantizer: &QuantizerConfig, file: &Tensors, which: Which) -> Built {
    let theirs = |name: &str, _: &[i64]| {
        let theirs = which.theirs(name);
        file.get(&theirs).unwrap_or_else(|| panic!("the checkpoint has no {theirs}")).shallow_clone()
    };
    build(network, quantizer, in_channels(file, which), theirs)
}

fn in_channels(file: &Tensors, which: Which) -> i64 {
    file[&which.theirs("encoder.conv_in.weight")].size()[1]
}

/// What both tokenizers have, and what the quantizer made of the latents.
fn evaluation(golden: &Golden, tokenizer: &Tokenizer) -> (Tensors, Tensor, Quantized) {
    let output = tch::no_grad(|| tokenizer.forward(&golden.input("x"), Mode::Eval)).unwrap();
    let Reconstruction { images, mut latents, mut levels } = output;
    let (latents, level) = (latents.remove(0), levels.remove(0));
    let decoded = tch::no_grad(|| tokenizer.decode(std::slice::from_ref(&level.grid))).unwrap();
    assert!(decoded.allclose(&images, 1e-4, 1e-5, false));
    let outputs = [
        ("prequant", latents.shallow_clone()),
        ("quant", level.codes.shallow_clone()),
        ("entry", tokenizer.quantizers()[0].lookup(&level.grid).unwrap()),
        ("reconstruction", images),
    ];
    (outputs.map(|(key, value)| (key.to_owned(), value)).into(), latents, level)
}

fn number(config: &Value, key: &str) -> f64 {
    config[key].as_f64().unwrap()
}

fn ibq(golden: &Golden, file: &Tensors, which: Which) -> Tensors {
    let config = &golden.config()["config"];
    let quantizer = IndexBackpropagationQuantizerConfig {
        codebook_weight: number(config, "beta"),
        commitment_weight: 1.0,
        entropy_weight: 0.0,
        entropy_temperature: number(config, "entropy_temperature"),
        sample_minimization_weight: number(config, "sample_minimization_weight"),
        batch_maximization_weight: number(config, "batch_maximization_weight"),
        ..IndexBackpropagationQuantizerConfig::new(config["n_embed"].as_i64().unwrap())
    };
    let network = TokenizerConfig::Vqgan(taming_network(config));
    let built = built(&network, &QuantizerConfig::IndexBackpropagation(quantizer.clone()), file, which);
    let (mut outputs, latents, level) = evaluation(golden, &built.tokenizer);
    let mut vs = nn::VarStore::new(Device::Cpu);
    let alone = quantizer.build(&vs.root(), latents.size()[1]).unwrap();
    let codes = built.variables["quantize.embedding.weight"].shallow_clone();
    weights::assign(&Tensors::from([("embedding.weight".into(), codes)]), &mut vs).unwrap();
    let (sample, batch) = alone.entropies(&latents, None).unwrap();
    let of_quantizer = [
        ("indices", level.grid.indices.squeeze_dim(1)),
        ("quant_loss", level.losses.total),
        ("sample_entropy", sample),
        ("avg_entropy", batch),
        ("entropy_loss", level.losses.entropy),
    ];
    outputs.extend(of_quantizer.map(|(key, value)| (key.to_owned(), value)));
    outputs
}

fn lfq(golden: &Golden, file: &Tensors, which: Which) -> Tensors {
    let config = &golden.config()["config"];
    let is_factorized = config["token_factorization"].as_bool().unwrap();
    let bits = || serde_json::from_value(config["factorized_bits"].clone()).unwrap();
    let quantizer = LookupFreeQuantizerConfig {
        bit_order: BitOrder::LsbFirst,
        factorized_bits: is_factorized.then(bits),
        ..LookupFreeQuantizerConfig::new(config["n_embed"].as_i64().unwrap())
    };
    let network: Magvit2Config = serde_json::from_value(config["ddconfig"].clone()).unwrap();
    assert_eq!(network.z_channels, config["embed_dim"].as_i64().unwrap());
    let network = TokenizerConfig::Magvit2(network);
    let Built { tokenizer, variables } = built(&network, &QuantizerConfig::LookupFree(quantizer), file, which);
    assert_eq!(tokenizer.last_layer(), &variables["decoder.conv_out.weight"]);
    let (mut outputs, _, level) = evaluation(golden, &tokenizer);
    outputs.extend(named_indices(&level.grid));
    outputs
}

/// One index, or the two of a token in two parts.
fn named_indices(grid: &TokenGrid) -> Vec<(String, Tensor)> {
    let names = if grid.sizes.len() == 1 { vec!["indices"] } else { vec!["indices_pre", "indices_post"] };
    let parts = grid.indices.unbind(1);
    names.into_iter().map(str::to_owned).zip(parts).collect()
}
