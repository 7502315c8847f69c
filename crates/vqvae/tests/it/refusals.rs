//! What tokenizers refuse, and how they say it.

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_torch::TokenGrid;
use vqkit_vqvae::{
    DecoderNorm, Magvit2Config, MaskgitVqganConfig, NormKind, Tokenizer, TokenizerConfig, TokenizerError, VqVae2Config,
    VqVaeConfig, VqganConfig,
};

fn quantizer() -> QuantizerConfig {
    QuantizerConfig::Vq(VectorQuantizerConfig::new(8))
}

fn build(config: &TokenizerConfig) -> Tokenizer {
    config.build(&nn::VarStore::new(Device::Cpu).root(), 3, &quantizer()).unwrap()
}

fn two_levels() -> Tokenizer {
    let config =
        VqVae2Config { channels: 4, residual_blocks: 1, residual_channels: 2, embed_dim: 2, ..VqVae2Config::default() };
    build(&TokenizerConfig::VqVae2(config))
}

fn zeros(side: i64) -> TokenGrid {
    TokenGrid::new(Tensor::zeros([1, 1, side, side], (Kind::Int64, Device::Cpu)), vec![8]).unwrap()
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let tokenizer = two_levels();
    let refuse = |shape: &[i64]| {
        let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        tokenizer.encode(&images, Mode::Eval).unwrap_err().to_string()
    };
    assert_eq!(refuse(&[1, 1, 32, 32]), "images must have shape [B, 3, H, W], got [1, 1, 32, 32]");
    assert_eq!(refuse(&[3, 32, 32]), "images must have shape [B, 3, H, W], got [3, 32, 32]");
    let message = "images of 32 by 36 pixels: the tokenizer reduces both sides by 8, so both must be multiples of 8";
    assert_eq!(refuse(&[1, 3, 32, 36]), message);
    assert!(matches!(tokenizer.grid_shapes(12), Err(TokenizerError::Size { height: 12, factor: 8, .. })));
    assert!(tokenizer.grid_shapes(0).is_err());
}

#[test]
fn tokens_that_do_not_belong_together_are_refused() {
    let tokenizer = two_levels();
    assert!(matches!(tokenizer.decode(&[zeros(2)]), Err(TokenizerError::Levels { want: 2, got: 1 })));
    assert!(matches!(tokenizer.decode(&[zeros(2), zeros(2)]), Err(TokenizerError::Grids { .. })));
    assert_eq!(tokenizer.decode(&[zeros(2), zeros(4)]).unwrap().size(), [1, 3, 16, 16]);
    let line = TokenGrid::new(Tensor::zeros([1, 1, 4], (Kind::Int64, Device::Cpu)), vec![8]).unwrap();
    let single = build(&TokenizerConfig::VqVae(VqVaeConfig::new(4)));
    assert!(matches!(single.decode(&[line]), Err(TokenizerError::Grids { .. })));
}

/// The published tokenizer of MaskGIT with one value changed.
fn maskgit(change: fn(&mut MaskgitVqganConfig)) -> TokenizerConfig {
    let mut config = MaskgitVqganConfig::imagenet_f16();
    change(&mut config);
    TokenizerConfig::MaskgitVqgan(config)
}

/// That of Open-MAGVIT2.
fn magvit2(change: fn(&mut Magvit2Config)) -> TokenizerConfig {
    let mut config = Magvit2Config::imagenet_f16();
    change(&mut config);
    TokenizerConfig::Magvit2(config)
}

#[test]
fn values_out_of_range_name_their_key() {
    let one = VqVaeConfig::new(8);
    let two = VqVae2Config::default();
    let gan = VqganConfig::imagenet_f16();
    let wrong = [
        ("channels", TokenizerConfig::VqVae(VqVaeConfig::new(0))),
        ("fine_channels", TokenizerConfig::VqVae(VqVaeConfig { fine_channels: Some(-1), ..one.clone() })),
        ("downsampling", TokenizerConfig::VqVae(VqVaeConfig { downsampling: 6, ..one.clone() })),
        ("downsampling", TokenizerConfig::VqVae(VqVaeConfig { downsampling: 1, ..one.clone() })),
        ("residual_blocks", TokenizerConfig::VqVae(VqVaeConfig { residual_blocks: -1, ..one.clone() })),
        ("residual_channels", TokenizerConfig::VqVae(VqVaeConfig { residual_channels: Some(0), ..one.clone() })),
        ("embed_dim", TokenizerConfig::VqVae(VqVaeConfig { embed_dim: Some(0), ..one.clone() })),
        ("channels", TokenizerConfig::VqVae2(VqVae2Config { channels: 7, ..two.clone() })),
        ("embed_dim", TokenizerConfig::VqVae2(VqVae2Config { embed_dim: 1 << 40, ..two.clone() })),
        ("ch", TokenizerConfig::Vqgan(VqganConfig { ch: 48, ..gan.clone() })),
        ("ch", TokenizerConfig::Vqgan(VqganConfig { ch: 0, ..gan.clone() })),
        ("ch_mult", TokenizerConfig::Vqgan(VqganConfig { ch_mult: vec![], ..gan.clone() })),
        ("ch_mult", TokenizerConfig::Vqgan(VqganConfig { ch_mult: vec![1, i64::MAX], ..gan.clone() })),
        ("num_res_blocks", TokenizerConfig::Vqgan(VqganConfig { num_res_blocks: 0, ..gan.clone() })),
        ("resolution", TokenizerConfig::Vqgan(VqganConfig { resolution: 8, ..gan.clone() })),
        ("attn_resolutions", TokenizerConfig::Vqgan(VqganConfig { attn_resolutions: vec![16, 24], ..gan.clone() })),
        ("z_channels", TokenizerConfig::Vqgan(VqganConfig { z_channels: -4, ..gan.clone() })),
        ("embed_dim", TokenizerConfig::Vqgan(VqganConfig { embed_dim: 0, ..gan.clone() })),
        ("dropout", TokenizerConfig::Vqgan(VqganConfig { dropout: 1.0, ..gan.clone() })),
        ("dropout", TokenizerConfig::Vqgan(VqganConfig { dropout: f64::NAN, ..gan.clone() })),
        ("out_ch", TokenizerConfig::Vqgan(VqganConfig { out_ch: Some(0), ..gan.clone() })),
        ("in_channels", TokenizerConfig::Vqgan(VqganConfig { in_channels: Some(1), ..gan.clone() })),
        ("norm_groups", TokenizerConfig::Vqgan(VqganConfig { norm_groups: 0, ..gan.clone() })),
        ("ch", TokenizerConfig::Vqgan(VqganConfig { norm_groups: 48, ..gan.clone() })),
        ("double_z", TokenizerConfig::Vqgan(VqganConfig { double_z: true, ..gan })),
        ("hidden_channels", maskgit(|own| own.hidden_channels = 48)),
        ("channel_mult", maskgit(|own| own.channel_mult = vec![])),
        ("channel_mult", maskgit(|own| own.channel_mult = vec![1, 0])),
        ("num_res_blocks", maskgit(|own| own.num_res_blocks = 0)),
        ("z_channels", maskgit(|own| own.z_channels = 0)),
        ("dropout", maskgit(|own| own.dropout = -0.1)),
        ("resolution", maskgit(|own| own.resolution = Some(40))),
        ("num_channels", maskgit(|own| own.num_channels = Some(1))),
        ("ch", magvit2(|own| own.ch = 0)),
        ("ch_mult", magvit2(|own| own.ch_mult = vec![1; 17])),
        ("num_res_blocks", magvit2(|own| own.num_res_blocks = 0)),
        ("z_channels", magvit2(|own| own.z_channels = -1)),
        ("resolution", magvit2(|own| own.resolution = Some(8))),
        ("in_channels", magvit2(|own| own.in_channels = Some(4))),
        ("out_ch", magvit2(|own| own.out_ch = Some(0))),
        ("double_z", magvit2(|own| own.double_z = true)),
    ];
    for (key, config) in wrong {
        let refused = config.build(&nn::VarStore::new(Device::Cpu).root(), 3, &quantizer()).unwrap_err();
        assert!(matches!(refused, TokenizerError::Config { field, .. } if field == key), "{key}: {refused}");
    }
    let refused = two.build(&nn::VarStore::new(Device::Cpu).root(), 0, &quantizer()).unwrap_err();
    assert!(matches!(refused, TokenizerError::Config { field: "in_channels", .. }));
}

#[test]
fn recipes_take_defaults_and_no_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<TokenizerConfig>(text);
    let config = read(r#"{"type": "vqvae", "channels": 64, "norm": "group"}"#).unwrap();
    assert_eq!(config, TokenizerConfig::VqVae(VqVaeConfig { norm: NormKind::Group, ..VqVaeConfig::new(64) }));
    assert_eq!(serde_json::from_str::<TokenizerConfig>(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    assert_eq!(read(r#"{"type": "vqvae2"}"#).unwrap(), TokenizerConfig::VqVae2(VqVae2Config::default()));
    assert!(read(r#"{"type": "vqvae", "channels": 64, "width": 3}"#).unwrap_err().to_string().contains("width"));
    let maskgit = r#"{"type": "maskgit-vqgan", "hidden_channels": 128, "channel_mult": [1, 1, 2, 2, 4],
        "num_res_blocks": 2, "z_channels": 256}"#;
    assert_eq!(read(maskgit).unwrap(), TokenizerConfig::MaskgitVqgan(MaskgitVqganConfig::imagenet_f16()));
    let magvit2 =
        r#"{"type": "magvit2", "ch": 128, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 4, "z_channels": 18}"#;
    assert_eq!(read(magvit2).unwrap(), TokenizerConfig::Magvit2(Magvit2Config::imagenet_f16()));
    assert!(read(r#"{"type": "vqvae"}"#).unwrap_err().to_string().contains("channels"));
}

/// Small tokenizers of every kind, and one of each that no memory holds.
fn sizes() -> Vec<(TokenizerConfig, TokenizerConfig)> {
    let (most, many) = (1 << 14, 1 << 14);
    let one = |channels, residual_blocks| {
        TokenizerConfig::VqVae(VqVaeConfig { residual_blocks, ..VqVaeConfig::new(channels) })
    };
    let two = |channels, residual_blocks| {
        TokenizerConfig::VqVae2(VqVae2Config {
            channels,
            residual_blocks,
            residual_channels: channels,
            embed_dim: 8,
            ..VqVae2Config::default()
        })
    };
    let gan = |ch, num_res_blocks| {
        TokenizerConfig::Vqgan(VqganConfig {
            ch,
            num_res_blocks,
            ch_mult: vec![1, 1],
            resolution: 32,
            attn_resolutions: vec![],
            ..VqganConfig::imagenet_f16()
        })
    };
    let unattended = |ch, num_res_blocks, decoder_norm| {
        let TokenizerConfig::Vqgan(gan) = gan(ch, num_res_blocks) else { panic!("it is VQGAN's") };
        TokenizerConfig::Vqgan(VqganConfig { mid_attention: false, decoder_norm, ..gan })
    };
    let maskgit = |hidden_channels, num_res_blocks| {
        TokenizerConfig::MaskgitVqgan(MaskgitVqganConfig {
            hidden_channels,
            num_res_blocks,
            channel_mult: vec![1, 1],
            ..MaskgitVqganConfig::imagenet_f16()
        })
    };
    let magvit2 = |ch, num_res_blocks| {
        TokenizerConfig::Magvit2(Magvit2Config {
            ch,
            num_res_blocks,
            ch_mult: vec![1, 1],
            z_channels: 3,
            ..Magvit2Config::imagenet_f16()
        })
    };
    let mut sizes = vec![
        (one(16, 3), one(most, many)),
        (two(16, 3), two(most, many)),
        (gan(32, 2), gan(most, many)),
        (maskgit(32, 2), maskgit(most, many)),
        (magvit2(32, 2), magvit2(most, many)),
    ];
    for norm in [DecoderNorm::Group, DecoderNorm::Spatial] {
        sizes.push((unattended(64, 2, norm), unattended(most, many, norm)));
    }
    sizes
}

#[test]
fn a_tokenizer_that_no_memory_holds_is_refused_before_it_is_built() {
    for (small, large) in sizes() {
        let vs = nn::VarStore::new(Device::Cpu);
        small.build(&vs.root(), 3, &quantizer()).unwrap();
        let built: i64 = vs.trainable_variables().iter().map(|variable| variable.numel() as i64).sum();
        let least = small.least_parameters();
        assert!((built / 4..=built).contains(&least), "{least} of {built}");
        let empty = nn::VarStore::new(Device::Cpu);
        let message = large.build(&empty.root(), 3, &quantizer()).unwrap_err().to_string();
        assert!(message.starts_with("a tokenizer of at least ") && message.contains("would take"), "{message}");
        assert!(empty.is_empty());
    }
}
