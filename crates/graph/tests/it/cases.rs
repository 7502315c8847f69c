//! Tokenizers of every type and with every quantizer, at tiny sizes, and what they compute.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;

use tch::{Device, Tensor, nn};
use vqkit_graph::TokenizerGraph;
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, BitOrder, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig,
    GumbelQuantizerConfig, IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Metric,
    ProductQuantizerConfig, QuantizerConfig, ResidualQuantizerConfig, SimVectorQuantizerConfig, VectorQuantizerConfig,
};
use vqkit_testing::Draws;
use vqkit_torch::weights;
use vqkit_vqvae::{
    DecoderNorm, Magvit2Config, MaskgitVqganConfig, NormKind, Output, Residual, Tokenizer, TokenizerConfig,
    VqVae2Config, VqVaeConfig, VqganConfig,
};

/// Codes of every table.
const CODES: i64 = 32;
/// Batch, height and width of images; every downsampling divides the sides.
const SIZES: [[i64; 3]; 2] = [[1, 16, 16], [3, 16, 24]];

/// A tokenizer with random weights.
pub struct Case {
    pub name: String,
    pub config: TokenizerConfig,
    pub quantizer: QuantizerConfig,
    pub channels: i64,
}

impl Case {
    fn new(name: &str, config: TokenizerConfig, quantizer: QuantizerConfig) -> Self {
        Self { name: format!("{name}-{}", quantizer.type_name()), config, quantizer, channels: 3 }
    }

    /// The tokenizer and its weights.
    pub fn build(&self) -> (Tokenizer, BTreeMap<String, Tensor>) {
        let vs = nn::VarStore::new(Device::Cpu);
        let tokenizer = self.config.build(&vs.root(), self.channels, &self.quantizer).unwrap();
        let variables = weights::tensors(&vs);
        let draws = Draws::new(7);
        tch::no_grad(|| {
            variables.iter().for_each(|(name, tensor)| tensor.shallow_clone().copy_(&drawn(name, tensor, &draws)))
        });
        (tokenizer, variables)
    }

    pub fn graph(&self, weights: &BTreeMap<String, Tensor>) -> TokenizerGraph {
        TokenizerGraph::new(&self.config, &self.quantizer, self.channels, weights).unwrap()
    }

    /// Images of every one of the [`SIZES`].
    pub fn batches(&self) -> Vec<Tensor> {
        SIZES.iter().map(|size| self.images(*size)).collect()
    }

    /// Images in `[-1, 1]`, of this batch, height and width.
    pub fn images(&self, [batch, height, width]: [i64; 3]) -> Tensor {
        Draws::new(width as u64).rand(&[batch, self.channels, height, width]) * 2.0 - 1.0
    }
}

/// What keeps every layer's output in the order of 1, and codes apart.
fn drawn(name: &str, like: &Tensor, draws: &Draws) -> Tensor {
    let shape = like.size();
    let inputs = like.numel() as f64 / shape[0] as f64;
    let is = |ending: &str| name.ends_with(ending);
    match shape.len() {
        1 if is("running_var") || is("cluster_size") => draws.rand(&shape) + 0.5,
        1 if is("weight") => draws.randn(&shape) * 0.2 + 1.0,
        1 => draws.randn(&shape) * 0.1,
        _ if is("embedding.weight") || is("frozen_codebook") || is("embed.weight") => draws.randn(&shape),
        _ => draws.randn(&shape) * (1.4 / inputs.sqrt()),
    }
}

/// Every network with a table of codes, and one network with every quantizer.
pub fn every_case() -> Vec<Case> {
    let ema = || QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(CODES));
    let mut cases: Vec<_> = networks().into_iter().map(|(name, config)| Case::new(name, config, ema())).collect();
    cases.push(Case { channels: 1, ..Case::new("gray", TokenizerConfig::Vqgan(vqgan()), vq(Metric::Euclidean)) });
    let bits = LookupFreeQuantizerConfig { bit_order: BitOrder::LsbFirst, ..LookupFreeQuantizerConfig::new(1 << 10) };
    cases.push(Case::new("magvit2", TokenizerConfig::Magvit2(magvit2(10)), QuantizerConfig::LookupFree(bits)));
    cases.push(Case::new("two-levels", TokenizerConfig::VqVae2(vqvae2()), residual(vq(Metric::Euclidean))));
    let small = TokenizerConfig::VqVae(VqVaeConfig { residual_channels: Some(4), ..VqVaeConfig::new(8) });
    cases.extend(quantizers().into_iter().map(|(name, quantizer)| Case::new(name, small.clone(), quantizer)));
    cases
}

fn networks() -> Vec<(&'static str, TokenizerConfig)> {
    let vqvae = VqVaeConfig { residual_channels: Some(4), ..VqVaeConfig::new(8) };
    vec![
        ("vqvae", TokenizerConfig::VqVae(vqvae.clone())),
        (
            "vqvae-batch-norm",
            TokenizerConfig::VqVae(VqVaeConfig {
                norm: NormKind::Batch,
                latent_norm: NormKind::Batch,
                downsampling: 8,
                fine_channels: Some(6),
                residual: Residual::Preactivated,
                ..vqvae.clone()
            }),
        ),
        (
            "vqvae-group-norm",
            TokenizerConfig::VqVae(VqVaeConfig {
                norm: NormKind::Group,
                embed_dim: Some(3),
                downsampling: 2,
                residual: Residual::Rectified,
                output: Output::Tanh,
                ..vqvae
            }),
        ),
        ("vqvae2", TokenizerConfig::VqVae2(vqvae2())),
        (
            "vqvae2-batch-norm",
            TokenizerConfig::VqVae2(VqVae2Config {
                norm: NormKind::Batch,
                latent_norm: NormKind::Group,
                residual: Residual::Preactivated,
                ..vqvae2()
            }),
        ),
        ("vqgan", TokenizerConfig::Vqgan(vqgan())),
        (
            "vqgan-wide",
            TokenizerConfig::Vqgan(VqganConfig {
                ch_mult: vec![1, 2, 1],
                decoder_ch_mult: Some(vec![1, 1, 2]),
                attn_resolutions: vec![],
                resamp_with_conv: false,
                out_ch: Some(5),
                ..vqgan()
            }),
        ),
        (
            "vqgan-spatial-norm",
            TokenizerConfig::Vqgan(VqganConfig {
                norm_groups: 16,
                decoder_norm: DecoderNorm::Spatial,
                z_channels: 4,
                ..vqgan()
            }),
        ),
        (
            "vqgan-no-attention",
            TokenizerConfig::Vqgan(VqganConfig {
                ch: 8,
                norm_groups: 4,
                mid_attention: false,
                attn_resolutions: vec![],
                ..vqgan()
            }),
        ),
        ("maskgit", TokenizerConfig::MaskgitVqgan(maskgit())),
        ("magvit2", TokenizerConfig::Magvit2(magvit2(4))),
    ]
}

fn vqgan() -> VqganConfig {
    VqganConfig {
        ch: 32,
        ch_mult: vec![1, 2, 1],
        num_res_blocks: 1,
        attn_resolutions: vec![4, 8],
        resolution: 16,
        z_channels: 6,
        embed_dim: 4,
        ..VqganConfig::imagenet_f16()
    }
}

fn maskgit() -> MaskgitVqganConfig {
    MaskgitVqganConfig {
        hidden_channels: 32,
        channel_mult: vec![1, 2, 1],
        num_res_blocks: 1,
        z_channels: 4,
        ..MaskgitVqganConfig::imagenet_f16()
    }
}

fn magvit2(z_channels: i64) -> Magvit2Config {
    Magvit2Config { ch: 32, ch_mult: vec![1, 2, 1], num_res_blocks: 1, z_channels, ..Magvit2Config::imagenet_f16() }
}

fn vqvae2() -> VqVae2Config {
    VqVae2Config { channels: 8, residual_blocks: 1, residual_channels: 4, embed_dim: 4, ..VqVae2Config::default() }
}

fn vq(metric: Metric) -> QuantizerConfig {
    QuantizerConfig::Vq(VectorQuantizerConfig { metric, ..VectorQuantizerConfig::new(CODES) })
}

fn residual(level: QuantizerConfig) -> QuantizerConfig {
    QuantizerConfig::Residual(ResidualQuantizerConfig::new(3, level))
}

/// For latents of width 8.
fn quantizers() -> Vec<(&'static str, QuantizerConfig)> {
    let fsq = |levels: &[i64], preserve_symmetry| {
        let plain = FiniteScalarQuantizerConfig::new(levels);
        QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig { preserve_symmetry, ..plain })
    };
    let sim = SimVectorQuantizerConfig { frozen_codebook_dim: Some(5), ..SimVectorQuantizerConfig::new(CODES) };
    let groups = |groups, codebook_dim, quantizer| {
        let plain = ProductQuantizerConfig::new(groups, quantizer);
        QuantizerConfig::Product(ProductQuantizerConfig { codebook_dim, ..plain })
    };
    let divided =
        LookupFreeQuantizerConfig { factorized_bits: Some(vec![3, 5]), ..LookupFreeQuantizerConfig::new(1 << 8) };
    vec![
        ("euclidean", vq(Metric::Euclidean)),
        ("cosine", vq(Metric::Cosine)),
        ("logits", QuantizerConfig::Gumbel(GumbelQuantizerConfig::new(CODES))),
        ("products", QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig::new(CODES))),
        ("transformed", QuantizerConfig::Sim(sim)),
        ("scalars", fsq(&[8, 5, 5, 2], false)),
        ("symmetric-scalars", fsq(&[4, 3, 2, 5, 2, 2, 3, 2], true)),
        ("signs", QuantizerConfig::LookupFree(LookupFreeQuantizerConfig::new(1 << 8))),
        ("projected-signs", QuantizerConfig::LookupFree(LookupFreeQuantizerConfig::new(1 << 11))),
        ("divided-signs", QuantizerConfig::LookupFree(divided)),
        ("sphere", QuantizerConfig::BinarySpherical(BinarySphericalQuantizerConfig::new(1 << 6))),
        ("levels", residual(vq(Metric::Euclidean))),
        ("transformed-levels", residual(QuantizerConfig::Sim(SimVectorQuantizerConfig::new(CODES)))),
        ("groups", groups(2, None, vq(Metric::Cosine))),
        ("projected-groups", groups(3, Some(4), fsq(&[3, 3, 3], false))),
        ("groups-of-levels", groups(2, None, residual(vq(Metric::Euclidean)))),
    ]
}
