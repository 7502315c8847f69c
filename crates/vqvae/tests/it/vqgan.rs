//! What is VQGAN's own: where attention stands, its channels, its changes of resolution, dropout, and memory formats.

use std::collections::BTreeSet;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{GumbelQuantizerConfig, Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Draws;
use vqkit_vqvae::{DecoderNorm, Tokenizer, TokenizerConfig, TokenizerError, VqganConfig};

const TRAIN: Mode = Mode::Train { step: 0 };

/// Levels at 32, 16 and 8 pixels.
fn small() -> VqganConfig {
    VqganConfig {
        ch: 32,
        ch_mult: vec![1, 1, 2],
        num_res_blocks: 1,
        attn_resolutions: vec![16],
        resolution: 32,
        z_channels: 6,
        embed_dim: 4,
        ..VqganConfig::imagenet_f16()
    }
}

fn vq() -> QuantizerConfig {
    QuantizerConfig::Vq(VectorQuantizerConfig::new(16))
}

fn build(config: &VqganConfig, in_channels: i64) -> (nn::VarStore, Tokenizer) {
    let vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = config.build(&vs.root(), in_channels, &vq()).unwrap();
    (vs, tokenizer)
}

/// `"encoder.down.1"` of `"encoder.down.1.attn.0.q.weight"`, for every level with a part of this name.
fn levels_with(part: &str, vs: &nn::VarStore) -> BTreeSet<String> {
    let level = |name: String| name.split_once(&format!(".{part}.")).map(|(level, _)| level.to_owned());
    vs.variables().into_keys().filter_map(level).collect()
}

fn random(shape: &[i64]) -> Tensor {
    Draws::new(1).rand(shape) * 2.0 - 1.0
}

#[test]
fn attention_stands_on_the_levels_that_the_recipe_names_whatever_the_image() {
    let (vs, tokenizer) = build(&small(), 3);
    assert_eq!(levels_with("attn", &vs), BTreeSet::from(["decoder.up.1".into(), "encoder.down.1".into()]));
    for (shape, grid) in [([1, 3, 32, 32], [8, 8]), ([1, 3, 16, 40], [4, 10])] {
        let output = tokenizer.forward(&random(&shape), Mode::Eval).unwrap();
        assert_eq!(output.levels[0].grid.spatial(), grid);
        assert_eq!(output.latents[0].size(), [1, 4, grid[0], grid[1]]);
        assert_eq!(output.images.size(), shape);
    }
}

#[test]
fn a_resolution_of_no_level_is_refused_with_those_there_are() {
    let refused =
        TokenizerConfig::Vqgan(VqganConfig { attn_resolutions: vec![8, 12], ..small() }).validate().unwrap_err();
    assert_eq!(refused.to_string(), "`attn_resolutions`: no level works at 12; they work at [32, 16, 8]");
    let refused = TokenizerConfig::Vqgan(VqganConfig { ch: 40, ..small() }).validate().unwrap_err();
    assert_eq!(refused.to_string(), "`ch`: 40 must be a multiple of 32, the number of groups of a normalisation");
}

#[test]
fn the_decoder_may_have_widths_of_its_own() {
    let (vs, tokenizer) = build(&VqganConfig { decoder_ch_mult: Some(vec![2, 1, 3]), ..small() }, 3);
    let shape = |name: &str| vs.variables()[name].size();
    assert_eq!(shape("encoder.conv_out.weight"), [6, 64, 3, 3]);
    assert_eq!(shape("decoder.conv_in.weight"), [96, 6, 3, 3]);
    assert_eq!(shape("decoder.conv_out.weight"), [3, 64, 3, 3]);
    let images = random(&[1, 3, 16, 16]);
    assert_eq!(tokenizer.forward(&images, Mode::Eval).unwrap().images.size(), images.size());
    let refused =
        TokenizerConfig::Vqgan(VqganConfig { decoder_ch_mult: Some(vec![1, 2]), ..small() }).validate().unwrap_err();
    assert_eq!(refused.to_string(), "`decoder_ch_mult`: 2 levels; ch_mult has 3");
}

#[test]
fn images_may_have_other_channels_and_the_decoder_others_again() {
    let (_vs, gray) = build(&small(), 1);
    assert_eq!(gray.forward(&random(&[1, 1, 32, 32]), Mode::Eval).unwrap().images.size(), [1, 1, 32, 32]);
    assert_eq!(gray.out_channels(), 1);
    let (_vs, scores) = build(&VqganConfig { in_channels: Some(5), out_ch: Some(7), ..small() }, 5);
    assert_eq!(scores.forward(&random(&[1, 5, 16, 16]), Mode::Eval).unwrap().images.size(), [1, 7, 16, 16]);
    assert_eq!(scores.out_channels(), 7);
    let config = VqganConfig { in_channels: Some(3), ..small() };
    let refused = config.build(&nn::VarStore::new(Device::Cpu).root(), 1, &vq()).unwrap_err();
    assert_eq!(refused.to_string(), "`in_channels`: 3, but the images have 1 channels");
}

#[test]
fn without_learned_resampling_there_are_no_such_weights_and_the_same_grids() {
    let (vs, tokenizer) = build(&VqganConfig { resamp_with_conv: false, ..small() }, 3);
    assert!(levels_with("downsample", &vs).is_empty() && levels_with("upsample", &vs).is_empty());
    let (learned, _) = build(&small(), 3);
    assert_eq!(levels_with("downsample", &learned).len() + levels_with("upsample", &learned).len(), 4);
    let images = random(&[2, 3, 32, 16]);
    let output = tokenizer.forward(&images, Mode::Eval).unwrap();
    assert_eq!(output.levels[0].grid.spatial(), [8, 4]);
    assert_eq!(output.images.size(), images.size());
}

#[test]
fn values_are_dropped_in_training_only() {
    let (_vs, tokenizer) = build(&VqganConfig { dropout: 0.3, ..small() }, 3);
    let images = random(&[1, 3, 16, 16]);
    let latents = |mode| tokenizer.forward(&images, mode).unwrap().latents.remove(0);
    assert_eq!(latents(Mode::Eval), latents(Mode::Eval));
    assert_ne!(latents(TRAIN), latents(TRAIN));
}

#[test]
fn without_attention_there_are_no_such_weights_and_other_groups_change_no_shape() {
    let (with, _) = build(&small(), 3);
    let none = VqganConfig { attn_resolutions: vec![], mid_attention: false, norm_groups: 16, ..small() };
    let (without, tokenizer) = build(&none, 3);
    let shapes = |vs: &nn::VarStore| {
        let shapes = vs.variables().into_iter().map(|(name, value)| (name, value.size()));
        shapes.filter(|(name, _)| !name.contains(".attn")).collect::<BTreeSet<_>>()
    };
    assert!(without.variables().keys().all(|name| !name.contains("attn")));
    assert_eq!(shapes(&with), shapes(&without));
    let images = random(&[1, 3, 16, 16]);
    assert_eq!(tokenizer.forward(&images, Mode::Eval).unwrap().images.size(), images.size());
}

#[test]
fn groups_are_those_of_the_recipe() {
    let output = |norm_groups| {
        let (vs, tokenizer) = build(&VqganConfig { norm_groups, ..small() }, 3);
        tch::no_grad(|| {
            for (name, mut value) in vs.variables().into_iter().filter(|(name, _)| !name.starts_with("quantize")) {
                let draws = Draws::new(name.len() as u64);
                value.copy_(&((draws.rand(&value.size()) - 0.5) * 0.2));
            }
        });
        tokenizer.forward(&random(&[1, 3, 16, 16]), Mode::Eval).unwrap().latents.remove(0)
    };
    assert_eq!(output(32), output(32));
    assert!(!output(32).allclose(&output(8), 1e-3, 1e-4, false));
}

#[test]
fn codes_modulate_every_normalisation_of_the_decoder_and_none_of_the_encoder() {
    let movq = VqganConfig { z_channels: 4, norm_groups: 16, decoder_norm: DecoderNorm::Spatial, ..small() };
    let (vs, _tokenizer) = build(&movq, 3);
    let names: Vec<_> = vs.variables().into_keys().collect();
    let norms = |side: &str, end: &str| {
        let of_side = names.iter().filter(|name| name.starts_with(side) && name.ends_with(end));
        of_side.filter(|name| name.contains("norm")).count()
    };
    let (plain, _) = build(&VqganConfig { z_channels: 4, ..small() }, 3);
    let of_plain = plain.variables().into_keys().filter(|name| name.starts_with("decoder") && name.contains("norm"));
    assert_eq!(norms("decoder", "conv_y.weight"), of_plain.count() / 2);
    assert_eq!(norms("decoder", "conv_y.weight"), norms("decoder", "norm_layer.weight"));
    assert_eq!(norms("encoder", "conv_y.weight"), 0);
    assert_eq!(vs.variables()["decoder.mid.attn_1.norm.conv_b.weight"].size(), [64, 4, 1, 1]);
}

#[test]
fn a_modulated_decoder_takes_latents_as_wide_as_its_input() {
    let refuse = |config: VqganConfig| TokenizerConfig::Vqgan(config).validate().unwrap_err().to_string();
    let message = "`decoder_norm`: \"spatial\" takes as many channels before `post_quant_conv` as after it, but \
                   `embed_dim` is 4 and `z_channels` 6; set them equal";
    assert_eq!(refuse(VqganConfig { decoder_norm: DecoderNorm::Spatial, ..small() }), message);
    let narrow = VqganConfig { ch: 16, norm_groups: 16, z_channels: 4, ..small() };
    TokenizerConfig::Vqgan(narrow.clone()).validate().unwrap();
    let message = "`ch`: 16 must be a multiple of 32, the number of groups of a normalisation";
    assert_eq!(refuse(VqganConfig { decoder_norm: DecoderNorm::Spatial, ..narrow }), message);
}

#[test]
fn weights_start_as_pytorch_starts_them() {
    let (vs, _tokenizer) = build(&small(), 3);
    let variables = vs.variables();
    let largest = |name: &str| variables[name].abs().max().double_value(&[]);
    let bound = 1.0 / (32.0_f64 * 9.0).sqrt();
    let found = largest("encoder.down.0.block.0.conv1.weight");
    assert!(found <= bound && found > 0.98 * bound, "{found}, bound {bound}");
    let found = largest("encoder.down.0.block.0.conv1.bias");
    assert!(found <= bound && found > 0.5 * bound, "{found}, bound {bound}");
    assert_eq!(largest("encoder.norm_out.bias"), 0.0);
    assert_eq!(variables["decoder.norm_out.weight"], Tensor::ones([32], (Kind::Float, Device::Cpu)));
}

#[test]
fn the_gumbel_quantizer_trains_with_it_and_its_codes_have_to_fit() {
    let gumbel = GumbelQuantizerConfig::new(16);
    let vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = small().build(&vs.root(), 3, &QuantizerConfig::Gumbel(gumbel.clone())).unwrap();
    let images = random(&[1, 3, 16, 16]);
    let output = tokenizer.forward(&images, TRAIN).unwrap();
    ((&output.images - &images).abs().mean(Kind::Float) + &output.levels[0].losses.total).backward();
    for (name, variable) in vs.variables() {
        assert!(variable.grad().defined(), "nothing reaches {name}");
    }
    assert!(vs.variables().contains_key("quantize.proj.bias"));
    let narrow = QuantizerConfig::Gumbel(GumbelQuantizerConfig { embedding_dim: Some(3), ..gumbel });
    let refused = small().build(&nn::VarStore::new(Device::Cpu).root(), 3, &narrow).unwrap_err();
    assert!(matches!(refused, TokenizerError::CodeWidth { want: 4, got: 3 }), "{refused}");
}

#[test]
fn recipes_take_the_names_and_defaults_of_upstream() {
    let text = r#"{"type": "vqgan", "double_z": false, "z_channels": 256, "resolution": 256, "ch": 128,
        "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [16], "embed_dim": 256}"#;
    let config: TokenizerConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, TokenizerConfig::Vqgan(VqganConfig::imagenet_f16()));
    assert_eq!(serde_json::from_str::<TokenizerConfig>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
}
