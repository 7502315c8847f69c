//! The VQ-VAE against ritheshkumar95/pytorch-vqvae.

use std::collections::BTreeMap;

use tch::{Device, Kind, Reduction, Tensor, nn};
use vqkit_quantizer::{Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_vqvae::{NormKind, Output, Residual, Tokenizer, VqVaeConfig};

/// Ours for the layers of upstream's sequences, each of which has weights below it.
const LAYERS: [(&str, &str); 20] = [
    ("codebook.embedding", "quantize.embedding"),
    ("encoder.0", "encoder.down.0"),
    ("encoder.1", "encoder.down_norm.0"),
    ("encoder.3", "encoder.down.1"),
    ("encoder.4.block.1", "encoder.residual.0.narrow"),
    ("encoder.4.block.2", "encoder.residual.0.narrow_norm"),
    ("encoder.4.block.4", "encoder.residual.0.widen"),
    ("encoder.4.block.5", "encoder.residual.0.widen_norm"),
    ("encoder.5.block.1", "encoder.residual.1.narrow"),
    ("encoder.5.block.2", "encoder.residual.1.narrow_norm"),
    ("encoder.5.block.4", "encoder.residual.1.widen"),
    ("encoder.5.block.5", "encoder.residual.1.widen_norm"),
    ("decoder.0.block.1", "decoder.residual.0.narrow"),
    ("decoder.0.block.2", "decoder.residual.0.narrow_norm"),
    ("decoder.0.block.4", "decoder.residual.0.widen"),
    ("decoder.0.block.5", "decoder.residual.0.widen_norm"),
    ("decoder.1.block.1", "decoder.residual.1.narrow"),
    ("decoder.1.block.2", "decoder.residual.1.narrow_norm"),
    ("decoder.1.block.4", "decoder.residual.1.widen"),
    ("decoder.1.block.5", "decoder.residual.1.widen_norm"),
];
const DOUBLINGS: [(&str, &str); 3] =
    [("decoder.3", "decoder.up.0"), ("decoder.4", "decoder.up_norm.0"), ("decoder.6", "decoder.up.1")];

fn our_name(theirs: &str) -> String {
    let (layer, weight) = theirs.rsplit_once('.').unwrap();
    let ours = LAYERS.iter().chain(&DOUBLINGS).find(|(theirs, _)| *theirs == layer);
    format!("{}.{weight}", ours.unwrap_or_else(|| panic!("unknown layer {layer}")).1)
}

/// Upstream's model, in the state before anything ran.
fn build(golden: &Golden) -> (BTreeMap<String, Tensor>, Tokenizer) {
    let config = &golden.config()["config"];
    let quantizer = VectorQuantizerConfig {
        codebook_weight: 1.0,
        commitment_weight: config["beta"].as_f64().unwrap(),
        revive_after: 0,
        ..VectorQuantizerConfig::new(config["K"].as_i64().unwrap())
    };
    let network = VqVaeConfig {
        norm: NormKind::Batch,
        residual: Residual::Rectified,
        output: Output::Tanh,
        ..VqVaeConfig::new(config["dim"].as_i64().unwrap())
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let in_channels = config["input_dim"].as_i64().unwrap();
    let tokenizer = network.build(&vs.root(), in_channels, &QuantizerConfig::Vq(quantizer)).unwrap();
    let variables: BTreeMap<_, _> = vs.variables().into_iter().collect();
    let mut set = 0;
    for (name, value) in golden.weights() {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let ours = &variables[&our_name(&name)];
        assert_eq!(value.size(), ours.size(), "{name}");
        tch::no_grad(|| ours.shallow_clone().copy_(&value));
        set += 1;
    }
    assert_eq!(set + ["quantize.age", "quantize.initted"].len(), variables.len());
    (variables, tokenizer)
}

#[test]
fn golden_ritheshkumar_vqvae() {
    let golden = Golden::open("ritheshkumar-vqvae");
    evaluation(&golden);
    training_step(&golden);
}

fn evaluation(golden: &Golden) {
    let (_, tokenizer) = build(golden);
    let output = tokenizer.forward(&golden.input("x"), Mode::Eval).unwrap();
    golden.close("z_e", &output.latents[0]);
    golden.equal("latents", &output.levels[0].grid.indices.squeeze_dim(1));
    golden.close("x_tilde_eval", &output.images);
    let tokens: Vec<_> = output.levels.into_iter().map(|level| level.grid).collect();
    golden.close("x_tilde_eval", &tokenizer.decode(&tokens).unwrap());
}

fn training_step(golden: &Golden) {
    let (variables, tokenizer) = build(golden);
    let x = golden.input("x");
    let output = tokenizer.forward(&x, Mode::Train { step: 0 }).unwrap();
    golden.close("x_tilde_train", &output.images);
    let reconstruction = output.images.mse_loss(&x, Reduction::Mean);
    let losses = &output.levels[0].losses;
    let loss = &reconstruction + &losses.total;
    golden.close("loss_recons", &reconstruction);
    golden.close("loss_vq", &losses.codebook);
    golden.close("loss_commit", &losses.commitment);
    golden.close("loss", &loss);
    loss.backward();
    for key in golden.keys().filter(|key| key.starts_with("grad/")) {
        let name = our_name(&key["grad/".len()..]);
        golden.close(key, &variables[&name].grad().to_kind(Kind::Float));
    }
}
