//! What holds for every tokenizer, whatever its first weights are.

use std::collections::BTreeMap;

use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Reduction, Tensor};
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GumbelQuantizerConfig,
    IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Mode, ProductQuantizerConfig, QuantizerConfig,
    ResidualQuantizerConfig, SimVectorQuantizerConfig, VectorQuantizerConfig,
};
use vqkit_testing::Draws;
use vqkit_vqvae::{
    DecoderNorm, Magvit2Config, MaskgitVqganConfig, NormKind, Reconstruction, Residual, Tokenizer, TokenizerConfig,
    VqVae2Config, VqVaeConfig, VqganConfig,
};

const SIZE: i64 = 32;
const TRAIN: Mode = Mode::Train { step: 0 };

struct Built {
    name: String,
    vs: nn::VarStore,
    tokenizer: Tokenizer,
}

impl Built {
    fn state(&self) -> BTreeMap<String, Tensor> {
        self.vs.variables().into_iter().map(|(name, variable)| (name, variable.detach().copy())).collect()
    }
}

/// Every tokenizer, with the options of the first and of VQGAN.
fn every_tokenizer() -> Vec<TokenizerConfig> {
    let small = VqVaeConfig { residual_channels: Some(4), ..VqVaeConfig::new(8) };
    let two_levels =
        VqVae2Config { channels: 8, residual_blocks: 1, residual_channels: 4, embed_dim: 4, ..VqVae2Config::default() };
    let gan = VqganConfig {
        ch: 32,
        ch_mult: vec![1, 1],
        num_res_blocks: 1,
        attn_resolutions: vec![SIZE / 2],
        resolution: SIZE,
        z_channels: 8,
        embed_dim: 4,
        ..VqganConfig::imagenet_f16()
    };
    vec![
        TokenizerConfig::VqVae(small.clone()),
        TokenizerConfig::VqVae(VqVaeConfig {
            norm: NormKind::Batch,
            latent_norm: NormKind::Batch,
            downsampling: 8,
            ..small.clone()
        }),
        TokenizerConfig::VqVae(VqVaeConfig {
            norm: NormKind::Group,
            residual: Residual::Preactivated,
            embed_dim: Some(3),
            ..small.clone()
        }),
        TokenizerConfig::VqVae(VqVaeConfig { downsampling: 2, residual_blocks: 0, fine_channels: Some(6), ..small }),
        TokenizerConfig::VqVae2(two_levels.clone()),
        TokenizerConfig::VqVae2(VqVae2Config {
            norm: NormKind::Batch,
            latent_norm: NormKind::Batch,
            residual: Residual::Preactivated,
            ..two_levels
        }),
        TokenizerConfig::Vqgan(gan.clone()),
        TokenizerConfig::Vqgan(VqganConfig { z_channels: 4, decoder_norm: DecoderNorm::Spatial, ..gan.clone() }),
        TokenizerConfig::Vqgan(VqganConfig {
            ch: 16,
            norm_groups: 8,
            attn_resolutions: vec![],
            mid_attention: false,
            ..gan
        }),
        TokenizerConfig::MaskgitVqgan(MaskgitVqganConfig {
            hidden_channels: 32,
            channel_mult: vec![1, 2],
            num_res_blocks: 1,
            z_channels: 4,
            ..MaskgitVqganConfig::imagenet_f16()
        }),
        TokenizerConfig::Magvit2(Magvit2Config {
            ch: 32,
            ch_mult: vec![1, 2],
            num_res_blocks: 1,
            z_channels: 4,
            ..Magvit2Config::imagenet_f16()
        }),
    ]
}

/// Every quantizer, small; those of others are made of moving averages.
fn every_quantizer() -> Vec<QuantizerConfig> {
    let table = QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(8));
    let bits = LookupFreeQuantizerConfig::new(16);
    let heads = ProductQuantizerConfig { codebook_dim: Some(2), ..ProductQuantizerConfig::new(2, table.clone()) };
    let all = vec![
        QuantizerConfig::Vq(VectorQuantizerConfig::new(16)),
        QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(16)),
        QuantizerConfig::Gumbel(GumbelQuantizerConfig::new(16)),
        QuantizerConfig::Sim(SimVectorQuantizerConfig::new(16)),
        QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig::new(16)),
        QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(&[4, 4])),
        QuantizerConfig::LookupFree(bits.clone()),
        QuantizerConfig::BinarySpherical(BinarySphericalQuantizerConfig(bits)),
        QuantizerConfig::Residual(ResidualQuantizerConfig::new(2, table)),
        QuantizerConfig::Product(heads),
    ];
    assert_eq!(all.iter().map(QuantizerConfig::type_name).collect::<Vec<_>>(), QuantizerConfig::TYPES);
    all
}

/// Every tokenizer with the two quantizers that keep codes near the latents.
fn every_kind() -> Vec<Built> {
    build_all(&every_quantizer()[..2])
}

fn build_all(quantizers: &[QuantizerConfig]) -> Vec<Built> {
    let tokenizers = every_tokenizer();
    let pairs = tokenizers.iter().flat_map(|tokenizer| quantizers.iter().map(move |quantizer| (tokenizer, quantizer)));
    let build = |(tokenizer, quantizer): (&TokenizerConfig, &QuantizerConfig)| {
        let vs = nn::VarStore::new(Device::Cpu);
        let name = format!("{tokenizer:?} with {}", quantizer.type_name());
        let tokenizer = tokenizer.build(&vs.root(), 3, quantizer).unwrap();
        Built { name, vs, tokenizer }
    };
    pairs.map(build).collect()
}

fn images(batch: i64) -> Tensor {
    Draws::new(1).rand(&[batch, 3, SIZE, SIZE]) * 2.0 - 1.0
}

#[test]
fn every_quantizer_serves_every_tokenizer() {
    for Built { name, mut tokenizer, .. } in build_all(&every_quantizer()) {
        let images = images(2).set_requires_grad(true);
        tokenizer.initialize(&images.detach()).unwrap();
        let made = tokenizer.forward(&images, TRAIN).unwrap();
        (made.images.square().mean(Kind::Float) + made.quantizer_loss()).backward();
        let gradient = images.grad();
        assert!(gradient.defined() && gradient.abs().max().double_value(&[]) > 0.0, "{name}");
        tch::no_grad(|| tokenizer.update(&made)).unwrap();
        let seen = tch::no_grad(|| tokenizer.forward(&images, Mode::Eval)).unwrap();
        let tokens: Vec<_> = seen.levels.into_iter().map(|level| level.grid).collect();
        let decoded = tch::no_grad(|| tokenizer.decode(&tokens)).unwrap();
        assert!(decoded.allclose(&seen.images, 1e-4, 1e-5, false), "{name}");
    }
}

#[test]
fn grids_are_as_promised_and_decode_to_the_reconstruction() {
    let images = images(2);
    for Built { name, mut tokenizer, .. } in every_kind() {
        tokenizer.initialize(&images).unwrap();
        let output = tokenizer.forward(&images, Mode::Eval).unwrap();
        let spatial: Vec<_> = output.levels.iter().map(|level| level.grid.spatial()).collect();
        assert_eq!(spatial, tokenizer.grid_shapes(SIZE).unwrap(), "{name}");
        assert_eq!(spatial[0][0] * tokenizer.downsampling(), SIZE, "{name}: the first level is the coarsest");
        assert_eq!(output.images.size(), images.size(), "{name}");
        for (level, latents) in output.levels.iter().zip(&output.latents) {
            assert_eq!(level.codes.size(), latents.size(), "{name}");
        }
        let tokens: Vec<_> = output.levels.into_iter().map(|level| level.grid).collect();
        assert!(tokenizer.decode(&tokens).unwrap().allclose(&output.images, 1e-5, 1e-6, false), "{name}");
    }
}

#[test]
fn a_tokenizer_can_move_to_another_thread() {
    tch::manual_seed(8);
    let images = images(1);
    for Built { name, tokenizer, .. } in every_kind() {
        let here = tokenizer.decode(&tokenizer.tokens(&images).unwrap()).unwrap();
        let batch = images.shallow_clone();
        let there = std::thread::spawn(move || tokenizer.decode(&tokenizer.tokens(&batch).unwrap()).unwrap());
        assert!(there.join().unwrap().allclose(&here, 1e-5, 1e-6, false), "{name}");
    }
}

#[test]
fn tokens_are_those_of_the_encoder_and_have_no_graph() {
    tch::manual_seed(10);
    let images = images(2).set_requires_grad(true);
    for Built { name, tokenizer, .. } in every_kind() {
        let tokens = tokenizer.tokens(&images).unwrap();
        let levels = tokenizer.encode(&images, Mode::Eval).unwrap();
        let sizes: Vec<_> = tokens.iter().map(|grid| grid.sizes.clone()).collect();
        assert_eq!(sizes, tokenizer.codebook_sizes(), "{name}");
        for (grid, level) in tokens.iter().zip(&levels) {
            assert_eq!(grid.indices, level.grid.indices, "{name}");
            assert!(!grid.indices.requires_grad(), "{name}");
        }
    }
}

#[test]
fn images_need_not_be_square() {
    let wide = Draws::new(2).rand(&[1, 3, 16, 40]);
    for Built { name, tokenizer, .. } in every_kind() {
        let tokens = tokenizer.tokens(&wide).unwrap();
        assert_eq!(tokenizer.decode(&tokens).unwrap().size(), wide.size(), "{name}");
    }
}

#[test]
fn using_a_tokenizer_changes_nothing() {
    let images = images(2);
    for built in every_kind() {
        let before = built.state();
        let once = built.tokenizer.forward(&images, Mode::Eval).unwrap().images;
        assert_eq!(once, built.tokenizer.forward(&images, Mode::Eval).unwrap().images, "{}", built.name);
        assert_eq!(before, built.state(), "{}", built.name);
    }
}

#[test]
fn the_decoders_parts_are_variables_that_encoding_does_not_need() {
    for Built { name, vs, tokenizer } in every_kind() {
        let of_part = |variable: &str, part: &str| variable.split('.').next() == Some(part);
        let before = tokenizer.tokens(&images(2)).unwrap();
        for part in tokenizer.decoder_parts() {
            let variables = vs.variables();
            let mut of_decoder: Vec<_> = variables.iter().filter(|(variable, _)| of_part(variable, part)).collect();
            assert!(!of_decoder.is_empty(), "{name}: no variable of `{part}`");
            for (_, variable) in &mut of_decoder {
                let _ = tch::no_grad(|| variable.shallow_clone().zero_());
            }
        }
        let after = tokenizer.tokens(&images(2)).unwrap();
        assert!(before.iter().zip(&after).all(|(before, after)| before.indices == after.indices), "{name}");
    }
}

#[test]
fn codebooks_start_on_the_latents_of_the_first_batch() {
    let images = images(4);
    for Built { name, mut tokenizer, .. } in every_kind() {
        let commitment = |tokenizer: &Tokenizer| {
            let output = tokenizer.forward(&images, TRAIN).unwrap();
            let relative = |(level, latents): (&vqkit_quantizer::Quantized, &Tensor)| {
                (&level.losses.commitment / latents.square().mean(Kind::Float)).double_value(&[])
            };
            output.levels.iter().zip(&output.latents).map(relative).fold(0.0, f64::max)
        };
        let before = commitment(&tokenizer);
        tokenizer.initialize(&images).unwrap();
        let after = commitment(&tokenizer);
        assert!(after < 0.9 * before, "{name}: {before} before, {after} after");
    }
}

#[test]
fn the_layout_of_images_makes_no_difference() {
    let images = images(2);
    let last = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    for Built { name, tokenizer, .. } in every_kind() {
        let [of_first, of_last] = [&images, &last].map(|images| tokenizer.forward(images, Mode::Eval).unwrap());
        for (first, last) in of_first.latents.iter().zip(&of_last.latents) {
            assert!(first.allclose(last, 1e-4, 1e-5, false), "{name}");
        }
    }
}

#[test]
fn the_decoder_s_variables_and_no_others_are_needed_to_decode_one_level() {
    for Built { name, vs, tokenizer } in
        every_kind().into_iter().filter(|built| built.tokenizer.codebook_sizes().len() == 1)
    {
        let grids = tokenizer.tokens(&images(1)).unwrap();
        tokenizer.decode(&grids).unwrap().square().mean(Kind::Float).backward();
        let parts = tokenizer.decoder_parts();
        for (variable, value) in vs.variables().into_iter().filter(|(_, value)| value.requires_grad()) {
            let of_decoder = parts.iter().any(|part| variable.split('.').next() == Some(part));
            assert_eq!(value.grad().defined(), of_decoder, "{name}: {variable}");
        }
        let last = tokenizer.last_layer().grad();
        assert!(last.defined() && last.abs().max().double_value(&[]) > 0.0, "{name}");
    }
}

fn loss(output: &Reconstruction, images: &Tensor) -> Tensor {
    output.images.mse_loss(images, Reduction::Mean) + output.quantizer_loss()
}

#[test]
fn every_variable_takes_part_in_training_and_the_loss_falls() {
    let batch = images(2);
    let smooth =
        batch.avg_pool2d([8, 8], [8, 8], [0, 0], false, true, None).upsample_nearest2d([SIZE, SIZE], None, None);
    for Built { name, vs, mut tokenizer } in every_kind() {
        let mut optimizer = nn::Adam::default().build(&vs, 3e-3).unwrap();
        tokenizer.initialize(&smooth).unwrap();
        let mut losses = Vec::new();
        for step in 0..12 {
            let output = tokenizer.forward(&smooth, Mode::Train { step }).unwrap();
            let loss = loss(&output, &smooth);
            optimizer.backward_step(&loss);
            tokenizer.update(&output).unwrap();
            losses.push(loss.double_value(&[]));
        }
        assert!(losses[11] < losses[0], "{name}: {losses:?}");
        for (variable, value) in vs.variables() {
            assert!(!value.requires_grad() || value.grad().defined(), "{name}: nothing reaches {variable}");
        }
    }
}

#[test]
fn the_finer_level_is_encoded_under_the_codes_of_the_coarser() {
    let images = images(1);
    for Built { name, vs, tokenizer } in
        every_kind().into_iter().filter(|built| built.tokenizer.codebook_sizes().len() == 2)
    {
        let latents = |tokenizer: &Tokenizer| tokenizer.forward(&images, Mode::Eval).unwrap().latents;
        let before = latents(&tokenizer);
        tch::no_grad(|| {
            let _ = vs.variables()["quantize_t.embedding.weight"].shallow_clone().fill_(1.0);
        });
        let after = latents(&tokenizer);
        assert_eq!(before[0], after[0], "{name}");
        assert!(!before[1].allclose(&after[1], 1e-3, 1e-4, false), "{name}");
    }
}
