//! Tokenizers of every type and with every quantizer, at tiny sizes, and what they compute.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;

use tch::{Device, Tensor, nn};
use vqkit_graph::TokenizerGraph;
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GumbelQuantizerConfig,
    IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Metric, ProductQuantizerConfig, QuantizerConfig,
    ResidualQuantizerConfig, SimVectorQuantizerConfig, VectorQuantizerConfig,
};
use vqkit_testing::Draws;
use vqkit_torch::weights;
use vqkit_vqvae::{NormKind, Output, Residual, Tokenizer, TokenizerConfig, VqVae2Config, VqVaeConfig, VqganConfig};

/// Codes of every table.
const CODES: i64 = 32;
/// Batch, height and width of the images that every case computes; every downsampling divides the sides.
pub const SIZES: [[i64; 3]; 2] = [[1, 16, 16], [3, 16, 24]];

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

    /// Images in `[-1, 1]` of these [`SIZES`].
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
        ("sphere", QuantizerConfig::BinarySpherical(BinarySphericalQuantizerConfig::new(1 << 6))),
        ("levels", residual(vq(Metric::Euclidean))),
        ("transformed-levels", residual(QuantizerConfig::Sim(SimVectorQuantizerConfig::new(CODES)))),
        ("groups", groups(2, None, vq(Metric::Cosine))),
        ("projected-groups", groups(3, Some(4), fsq(&[3, 3, 3], false))),
        ("groups-of-levels", groups(2, None, residual(vq(Metric::Euclidean)))),
    ]
}
