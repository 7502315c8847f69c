//! The tokenizer of MaskGIT against 1d-tokenizer. `soft_code`, which belongs to the training of TiTok's second stage, is not
//! compared: no quantizer of ours gives it out.

use serde_json::Value;
use tch::{Kind, Tensor};
use vqkit_quantizer::{Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_torch::TokenGrid;
use vqkit_vqvae::{MaskgitVqganConfig, TokenizerConfig};

use crate::built::{Built, Tensors, build, take};

const TRAIN: Mode = Mode::Train { step: 0 };

/// Upstream's configuration is ours, but for the number of levels, which follows, and a dropout that its recording does
/// without.
fn network(config: &Value) -> MaskgitVqganConfig {
    let mut own = config["conf"].clone();
    let levels = own.as_object_mut().unwrap().remove("num_resolutions").unwrap();
    let network: MaskgitVqganConfig = serde_json::from_value(own).unwrap();
    assert_eq!(levels, network.channel_mult.len());
    assert_eq!(network.z_channels, config["embedding_dim"].as_i64().unwrap());
    MaskgitVqganConfig { dropout: 0.0, ..network }
}

fn built(golden: &Golden) -> Built {
    let config = &golden.config()["config"];
    let plain = VectorQuantizerConfig::new(config["num_embeddings"].as_i64().unwrap());
    let quantizer = QuantizerConfig::Vq(VectorQuantizerConfig {
        codebook_weight: config["commitment_cost"].as_f64().unwrap(),
        commitment_weight: 1.0,
        kmeans_init: false,
        revive_after: 0,
        ..plain
    });
    let mut theirs = golden.weights();
    let network = TokenizerConfig::MaskgitVqgan(network(config));
    let built = build(&network, &quantizer, golden.input("x").size()[1], |name, _| take(&mut theirs, name));
    assert!(theirs.is_empty(), "nothing of ours is {:?}", theirs.keys());
    built
}

/// Images in `[0, 1]` to `[-1, 1]`, and back.
fn signed(images: &Tensor) -> Tensor {
    images * 2.0 - 1.0
}

fn unsigned(images: &Tensor) -> Tensor {
    (images + 1.0) / 2.0
}

#[test]
fn golden_maskgit_vqgan() {
    let golden = Golden::open("maskgit-vqgan");
    let built = built(&golden);
    let mut outputs = evaluation(&golden, &built);
    outputs.extend(training_step(&golden, &built));
    for key in golden.keys().filter(|key| !["x", "soft_code"].contains(key)) {
        golden.close(key, outputs.get(key).unwrap_or_else(|| panic!("nothing was computed for {key}")));
    }
}

fn evaluation(golden: &Golden, Built { tokenizer, .. }: &Built) -> Tensors {
    let mut output = tch::no_grad(|| tokenizer.forward(&signed(&golden.input("x")), Mode::Eval)).unwrap();
    let level = output.levels.remove(0);
    let recorded = golden.input("indices").view_as(&level.grid.indices);
    let recorded = TokenGrid::new(recorded, level.grid.sizes.clone()).unwrap();
    let decoded = unsigned(&tch::no_grad(|| tokenizer.decode(std::slice::from_ref(&recorded))).unwrap());
    [
        ("hidden_states", output.latents.remove(0)),
        ("indices", level.grid.indices.flatten(1, -1)),
        ("quantizer_loss", level.losses.total),
        ("z_q", tokenizer.quantizers()[0].lookup(&recorded).unwrap()),
        ("decoded_clamped", decoded.clamp(0.0, 1.0)),
        ("decoded", decoded),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The loss of a training step, on images in `[0, 1]`, and the gradient of every weight.
fn training_step(golden: &Golden, Built { variables, tokenizer }: &Built) -> Tensors {
    assert_eq!(tokenizer.last_layer(), &variables["decoder.conv_out.weight"]);
    let x = golden.input("x");
    let output = tokenizer.forward(&signed(&x), TRAIN).unwrap();
    let loss = (unsigned(&output.images) - &x).square().mean(Kind::Float) + output.quantizer_loss();
    loss.backward();
    let gradients = variables.iter().map(|(name, variable)| (format!("grad/{name}"), variable.grad()));
    gradients.filter(|(_, gradient)| gradient.defined()).chain([("loss".into(), loss)]).collect()
}
