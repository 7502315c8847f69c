//! What a tokenizer is, apart from its weights.

use std::collections::{BTreeMap, BTreeSet};

use tch::nn::VarStore;
use tch::{Device, Tensor};
use vqkit_quantizer::QuantizerConfig;
use vqkit_torch::TorchError;
use vqkit_torch::weights::{Mismatch, tensors, trainable};
use vqkit_vqvae::{Tokenizer, TokenizerConfig};

use crate::GraphError;

/// What the graphs need to know of a tokenizer, and a program that runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub tokenizer: &'static str,
    pub quantizer: &'static str,
    pub image_channels: i64,
    pub out_channels: i64,
    /// By how much every level is coarser than the image, coarse first.
    pub strides: Vec<i64>,
    /// Width of every level's latents, coarse first.
    pub dims: Vec<i64>,
    /// Sizes of all codebooks of every level, coarse first.
    pub codebook_sizes: Vec<Vec<i64>>,
    /// Names of the weights that training changes by gradients.
    pub trainable: BTreeSet<String>,
}

impl Facts {
    /// Builds the tokenizer, and compares its variables with the weights.
    pub fn of(
        config: &TokenizerConfig,
        quantizer: &QuantizerConfig,
        in_channels: i64,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<Self, GraphError> {
        let vs = VarStore::new(Device::Cpu);
        let tokenizer = config.build(&vs.root(), in_channels, quantizer)?;
        Mismatch::check("the weights of the tokenizer", &tensors(&vs), weights).map_err(TorchError::from)?;
        Ok(Self {
            tokenizer: config.type_name(),
            quantizer: quantizer.type_name(),
            image_channels: in_channels,
            out_channels: tokenizer.out_channels(),
            strides: strides(&tokenizer)?,
            dims: tokenizer.quantizers().iter().map(|quantizer| quantizer.dim()).collect(),
            codebook_sizes: tokenizer.codebook_sizes(),
            trainable: trainable(&vs).into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.codebook_sizes.len()
    }

    /// Whether there is one level with one codebook.
    pub fn is_single(&self) -> bool {
        matches!(self.codebook_sizes.as_slice(), [sizes] if sizes.len() == 1)
    }

    /// Name of the indices of a level.
    pub fn indices(&self, level: usize) -> String {
        if self.levels() == 1 { "indices".into() } else { format!("indices_{level}") }
    }

    /// By how much the coarsest level is coarser than the image.
    pub fn downsampling(&self) -> i64 {
        self.strides.iter().copied().max().unwrap_or(1)
    }
}

/// By how much every level is coarser than the image, coarse first.
fn strides(tokenizer: &Tokenizer) -> Result<Vec<i64>, GraphError> {
    let size = tokenizer.downsampling();
    Ok(tokenizer.grid_shapes(size)?.into_iter().map(|[height, _]| size / height).collect())
}
