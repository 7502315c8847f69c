//! VQGAN's autoencoder with the options of diffusers' `VQModel`, against it: other groups, no attention, and MoVQ's decoder.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Kind, Tensor};
use vqkit_quantizer::{Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_torch::{TokenGrid, weights};
use vqkit_vqvae::{DecoderNorm, TokenizerConfig, VqganConfig};

use crate::built::{Built, Tensors, build, take};
use crate::diffusers::diffusers_name;

const TRAIN: Mode = Mode::Train { step: 0 };
/// The weight of the term that moves codes, which upstream fixes.
const BETA: f64 = 0.25;

/// Upstream's `config.json`.
#[derive(Debug, Deserialize)]
struct Upstream {
    in_channels: i64,
    out_channels: i64,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    block_out_channels: Vec<i64>,
    layers_per_block: i64,
    latent_channels: i64,
    num_vq_embeddings: i64,
    norm_num_groups: i64,
    vq_embed_dim: Option<i64>,
    norm_type: DecoderNorm,
    mid_block_add_attention: bool,
}

impl Upstream {
    fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    fn has_attention(&self) -> Vec<bool> {
        let of_side = |types: &[String]| types.iter().map(|kind| kind.starts_with("Attn")).collect::<Vec<_>>();
        let (down, mut up) = (of_side(&self.down_block_types), of_side(&self.up_block_types));
        up.reverse();
        assert_eq!(down, up, "ours has attention on the same levels of both sides");
        down
    }

    fn network(&self) -> VqganConfig {
        let (ch, resolution) = (self.block_out_channels[0], 1i64 << self.levels());
        let attends = self.has_attention().into_iter().enumerate().filter(|(_, has)| *has);
        VqganConfig {
            ch,
            ch_mult: self.block_out_channels.iter().map(|width| width / ch).collect(),
            num_res_blocks: self.layers_per_block,
            attn_resolutions: attends.map(|(level, _)| resolution >> level).collect(),
            resolution,
            z_channels: self.latent_channels,
            embed_dim: self.vq_embed_dim.unwrap_or(self.latent_channels),
            norm_groups: self.norm_num_groups,
            mid_attention: self.mid_block_add_attention,
            decoder_norm: self.norm_type,
            out_ch: Some(self.out_channels),
            ..VqganConfig::imagenet_f16()
        }
    }

    fn quantizer(codebook_size: i64) -> QuantizerConfig {
        QuantizerConfig::Vq(VectorQuantizerConfig {
            codebook_weight: BETA,
            commitment_weight: 1.0,
            kmeans_init: false,
            revive_after: 0,
            ..VectorQuantizerConfig::new(codebook_size)
        })
    }

    fn theirs(&self, ours: &str) -> String {
        diffusers_name(ours, self.levels(), self.norm_type == DecoderNorm::Spatial)
    }

    /// The model of the file; its linear projections are our convolutions of 1×1. `codebook`: other codes than the file's.
    fn build(&self, golden: &Golden, codebook: Option<&Tensor>) -> Built {
        let mut file = weights::read(&golden.path("diffusion_pytorch_model.safetensors")).unwrap();
        if let Some(codes) = codebook {
            file.insert("quantize.embedding.weight".into(), codes.copy());
        }
        let quantizer = Self::quantizer(file["quantize.embedding.weight"].size()[0]);
        let theirs = |name: &str, shape: &[i64]| take(&mut file, &self.theirs(name)).view(shape);
        let built = build(&TokenizerConfig::Vqgan(self.network()), &quantizer, self.in_channels, theirs);
        assert!(file.is_empty(), "nothing of ours is {:?}", file.keys());
        built
    }
}

#[test]
fn golden_diffusers_vqmodel() {
    check("diffusers-vqmodel");
}

#[test]
fn golden_diffusers_movq() {
    check("diffusers-movq");
}

#[test]
fn golden_diffusers_vqmodel_lookup() {
    check("diffusers-vqmodel-lookup");
}

fn check(component: &str) {
    let golden = Golden::open(component);
    let config = std::fs::read(golden.path("config.json")).unwrap();
    let upstream: Upstream = serde_json::from_slice(&config).unwrap();
    let built = upstream.build(&golden, None);
    assert_eq!(built.tokenizer.codebook_sizes(), [[upstream.num_vq_embeddings]]);
    let mut outputs = evaluation(&golden, &built);
    outputs.insert("sample_not_quantized".into(), not_quantized(&golden, &upstream));
    if golden.has("loss") {
        outputs.extend(training_step(&golden, &upstream, &built));
    }
    for key in golden.keys().filter(|key| !["x", "codes"].contains(key)) {
        golden.close(key, outputs.get(key).unwrap_or_else(|| panic!("nothing was computed for {key}")));
    }
}

fn evaluation(golden: &Golden, Built { tokenizer, .. }: &Built) -> Tensors {
    let mut output = tch::no_grad(|| tokenizer.forward(&golden.input("x"), Mode::Eval)).unwrap();
    let level = output.levels.remove(0);
    let mut outputs = BTreeMap::from([
        ("latents".into(), output.latents.remove(0)),
        ("indices".into(), level.grid.indices.squeeze_dim(1)),
        ("quant".into(), level.codes),
        ("commit_loss".into(), level.losses.total),
        ("sample".into(), output.images),
    ]);
    if golden.has("codes") {
        let grid = TokenGrid::new(golden.input("codes").unsqueeze(1), level.grid.sizes).unwrap();
        outputs.insert("sample_codes".into(), tokenizer.decode(&[grid]).unwrap());
    }
    outputs
}

/// Latents are decoded as they are where every latent is a code.
fn not_quantized(golden: &Golden, upstream: &Upstream) -> Tensor {
    let x = golden.input("x");
    let latents = |built: &Built| tch::no_grad(|| built.tokenizer.forward(&x, Mode::Eval)).unwrap();
    let exact = latents(&upstream.build(golden, None)).latents.remove(0);
    let codes = exact.movedim_int(1, -1).flatten(0, -2).contiguous();
    let output = latents(&upstream.build(golden, Some(&codes)));
    assert_eq!(output.levels[0].codes, exact);
    output.images
}

/// The loss of a training step, and the gradient of every weight by upstream's name.
fn training_step(golden: &Golden, upstream: &Upstream, built: &Built) -> Tensors {
    let x = golden.input("x");
    let output = built.tokenizer.forward(&x, TRAIN).unwrap();
    let loss = (&output.images - &x).square().mean(Kind::Float) + output.quantizer_loss();
    loss.backward();
    let of_weight = |(name, variable): (&String, &Tensor)| {
        let gradient = variable.grad();
        gradient.defined().then(|| (format!("grad/{}", upstream.theirs(name)), gradient))
    };
    let mut outputs: Tensors = built.variables.iter().filter_map(of_weight).collect();
    outputs.insert("loss".into(), loss);
    outputs
}
