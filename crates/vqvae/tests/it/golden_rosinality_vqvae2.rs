//! VQ-VAE-2 against rosinality/vq-vae-2-pytorch.

use std::collections::BTreeMap;

use tch::{Device, Kind, Reduction, Tensor, nn};
use vqkit_quantizer::{EmaVectorQuantizerConfig, Mode, QuantizerConfig};
use vqkit_testing::Golden;
use vqkit_vqvae::{Reconstruction, Tokenizer, VqVae2Config};

const TRAIN: Mode = Mode::Train { step: 0 };
/// Upstream takes an argument `decay`, and hands it on to nothing: its quantizers keep their own default.
const UPSTREAM_DECAY: f64 = 0.99;
const QUANTIZERS: [&str; 2] = ["quantize_t", "quantize_b"];
const PROJECTIONS: [(&str, &str); 2] =
    [("quantize_conv_t.weight", "quantize_conv_t.bias"), ("quantize_conv_b.weight", "quantize_conv_b.bias")];
const BUFFERS: [(&str, &str); 3] =
    [("embed", "embedding.weight"), ("cluster_size", "cluster_size"), ("embed_avg", "embed_avg")];

/// The position of every layer in upstream's sequences follows from the number of residual blocks.
struct Names {
    residual_blocks: usize,
}

impl Names {
    fn ours(&self, theirs: &str) -> String {
        let (module, rest) = theirs.split_once('.').unwrap();
        let Some(rest) = rest.strip_prefix("blocks.") else {
            let buffer = BUFFERS.iter().find(|(theirs, _)| *theirs == rest);
            return format!("{module}.{}", buffer.map_or(rest, |(_, ours)| ours));
        };
        let (position, weight) = rest.split_once('.').unwrap();
        let position: usize = position.parse().unwrap();
        let layer = match module {
            "enc_b" => Self::encoder(position, 2),
            "enc_t" => Self::encoder(position, 1),
            _ => self.decoder(position),
        };
        let weight = weight.replace("conv.1.", "narrow.").replace("conv.3.", "widen.");
        format!("{module}.{layer}.{weight}")
    }

    /// Halvings with a ReLU each, a convolution, residual blocks.
    fn encoder(position: usize, halvings: usize) -> String {
        match position {
            _ if position < 2 * halvings => format!("down.{}", position / 2),
            _ if position == 2 * halvings => "mix".into(),
            _ => format!("residual.{}", position - 2 * halvings - 1),
        }
    }

    /// A convolution, residual blocks, ReLU, doublings with a ReLU between.
    fn decoder(&self, position: usize) -> String {
        match position {
            0 => "mix".into(),
            _ if position <= self.residual_blocks => format!("residual.{}", position - 1),
            _ => format!("up.{}", (position - self.residual_blocks - 2) / 2),
        }
    }
}

struct Built {
    variables: BTreeMap<String, Tensor>,
    tokenizer: Tokenizer,
    names: Names,
}

/// Upstream's model, in the state before anything ran.
fn build(golden: &Golden) -> Built {
    let config = &golden.config()["config"];
    let integer = |key: &str| config[key].as_i64().unwrap();
    let quantizer = EmaVectorQuantizerConfig {
        decay: UPSTREAM_DECAY,
        eps: config["eps"].as_f64().unwrap(),
        commitment_weight: golden.config()["latent_loss_weight"].as_f64().unwrap(),
        revive_after: 0,
        ..EmaVectorQuantizerConfig::new(integer("n_embed"))
    };
    let network = VqVae2Config {
        channels: integer("channel"),
        residual_blocks: integer("n_res_block"),
        residual_channels: integer("n_res_channel"),
        embed_dim: integer("embed_dim"),
        ..VqVae2Config::default()
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = network.build(&vs.root(), integer("in_channel"), &QuantizerConfig::Ema(quantizer)).unwrap();
    let variables: BTreeMap<_, _> = vs.variables().into_iter().collect();
    let names = Names { residual_blocks: network.residual_blocks as usize };
    let weights = golden.weights();
    for (name, value) in &weights {
        let value = if is_table(name) { value.transpose(0, 1) } else { value.shallow_clone() };
        let ours = &variables[&names.ours(name)];
        assert_eq!(value.size(), ours.size(), "{name}");
        tch::no_grad(|| ours.shallow_clone().copy_(&value));
    }
    assert_eq!(weights.len() + 2 * ["age", "initted"].len(), variables.len());
    Built { variables, tokenizer, names }
}

/// Upstream keeps codes as columns.
fn is_table(name: &str) -> bool {
    name.ends_with(".embed") || name.ends_with(".embed_avg")
}

#[test]
fn golden_rosinality_vqvae2() {
    let golden = Golden::open("rosinality-vqvae2");
    encoders(&golden);
    evaluation(&golden);
    training_step(&golden);
    step_of_a_new_codebook(&golden);
}

/// The encoders' outputs are inside the network: they are read through projections that pick `D` channels at a time.
fn encoders(golden: &Golden) {
    let Built { variables, tokenizer, .. } = build(golden);
    for (level, key) in ["enc_t", "enc_b"].into_iter().enumerate() {
        let (weight, bias) = (&variables[PROJECTIONS[level].0], &variables[PROJECTIONS[level].1]);
        let (dim, inputs) = (weight.size()[0], weight.size()[1]);
        // The bottom's projection reads the decoded top first.
        let first = if key == "enc_b" { dim } else { 0 };
        let (mut found, mut at) = (Vec::new(), first);
        while at < inputs {
            let width = dim.min(inputs - at);
            let pick = Tensor::eye(inputs, (Kind::Float, Device::Cpu)).narrow(0, at, width);
            tch::no_grad(|| {
                let _ = weight.shallow_clone().zero_();
                weight.narrow(0, 0, width).copy_(&pick.view([width, inputs, 1, 1]));
                let _ = bias.shallow_clone().zero_();
            });
            let output = tokenizer.forward(&golden.input("x"), Mode::Eval).unwrap();
            found.push(output.latents[level].narrow(1, 0, width));
            at += width;
        }
        golden.close(key, &Tensor::cat(&found, 1));
    }
}

fn evaluation(golden: &Golden) {
    let Built { tokenizer, .. } = build(golden);
    let output = tokenizer.forward(&golden.input("x"), Mode::Eval).unwrap();
    for (level, name) in ["t", "b"].iter().enumerate() {
        golden.close(&format!("quant_{name}"), &output.levels[level].codes);
        golden.equal(&format!("id_{name}"), &output.levels[level].grid.indices.squeeze_dim(1));
    }
    golden.close("diff", &commitment(&output).view([1]));
    golden.close("dec", &output.images);
    let tokens: Vec<_> = output.levels.into_iter().map(|level| level.grid).collect();
    golden.close("dec_from_codes", &tokenizer.decode(&tokens).unwrap());
}

fn training_step(golden: &Golden) {
    let Built { variables, mut tokenizer, names } = build(golden);
    let x = golden.input("x");
    let output = tokenizer.forward(&x, TRAIN).unwrap();
    golden.close("train_rec", &output.images);
    golden.close("train_diff", &commitment(&output).view([1]));
    let weighted: Tensor = output.levels.iter().map(|level| &level.losses.total).sum();
    let loss = output.images.mse_loss(&x, Reduction::Mean) + weighted;
    golden.close("train_loss", &loss);
    loss.backward();
    for key in golden.keys().filter(|key| key.starts_with("grad/")) {
        golden.close(key, &variables[&names.ours(&key["grad/".len()..])].grad());
    }
    tokenizer.update(&output).unwrap();
    for (key, actual) in states("state_after", &variables) {
        golden.close(&key, &actual);
    }
}

/// Codes that the batch does not use grow without bound here, so codes are also compared relative to their own size.
fn step_of_a_new_codebook(golden: &Golden) {
    let Built { variables, mut tokenizer, .. } = build(golden);
    for name in QUANTIZERS {
        let variable = |part: &str| variables[&format!("{name}.{part}")].shallow_clone();
        let _ = variable("cluster_size").zero_();
        variable("embed_avg").copy_(&variable("embedding.weight"));
    }
    let output = tokenizer.forward(&golden.input("x"), TRAIN).unwrap();
    tokenizer.update(&output).unwrap();
    for (key, actual) in states("fresh_after", &variables) {
        golden.close(&key, &actual);
        if key.ends_with(".embed") {
            let expected = golden.input(&key);
            let largest = expected.abs().amax([0], true);
            let relative = ((actual - expected) / largest).abs().max().double_value(&[]);
            assert!(relative <= 1e-5, "{key}: off by {relative:e} of the code's largest magnitude");
        }
    }
}

/// The buffers of both quantizers by the golden's keys, in upstream's layout.
fn states(when: &str, variables: &BTreeMap<String, Tensor>) -> Vec<(String, Tensor)> {
    let buffers = QUANTIZERS.iter().flat_map(|name| BUFFERS.iter().map(move |buffer| (name, buffer)));
    buffers
        .map(|(name, (theirs, ours))| {
            let key = format!("{when}/{name}.{theirs}");
            let value = &variables[&format!("{name}.{ours}")];
            let value = if is_table(&key) { value.transpose(0, 1) } else { value.shallow_clone() };
            (key, value)
        })
        .collect()
}

/// Both levels' unweighted commitment.
fn commitment(output: &Reconstruction) -> Tensor {
    output.levels.iter().map(|level| level.losses.commitment.to_kind(Kind::Float)).sum()
}
