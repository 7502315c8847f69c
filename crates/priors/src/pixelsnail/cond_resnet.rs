//! The network on a condition grid.

use tch::{Kind, Tensor, nn};
use vqkit_torch::TokenGrid;

use super::config::PixelSnailConfig;
use super::conv::Conv;
use super::gated::{GatedResBlock, Kernel, Pass};
use super::input::one_hot;
use crate::{GridSpec, PriorError};

/// Residual blocks on one-hot tokens, those of several codebooks side by side.
#[derive(Debug)]
pub(super) struct CondResNet {
    sizes: Vec<i64>,
    first: Conv,
    blocks: Vec<GatedResBlock>,
}

impl CondResNet {
    pub(super) fn new(vs: &nn::Path, grid: &GridSpec, config: &PixelSnailConfig) -> Self {
        let (width, kernel) = (config.cond_res_channel, config.cond_res_kernel);
        let vs = vs / "blocks";
        let block = |index: i64| GatedResBlock::new(&(&vs / index), width, width, Kernel::Around(kernel));
        Self {
            first: Conv::new(&(&vs / 0), [grid.codes(), width], kernel, true),
            blocks: (1..=config.n_cond_res_block).map(block).collect(),
            sizes: grid.sizes.clone(),
        }
    }

    /// `[B, Q, h, w]` to `[B, F, H, W]`, where `target` is `[H, W]`: resized after the network, by nearest neighbour.
    pub(super) fn forward(&self, grid: &TokenGrid, target: [i64; 2], dropout: f64) -> Result<Tensor, PriorError> {
        let kind = self.first.bias().map_or(Kind::Float, Tensor::kind);
        let books = self.sizes.iter().enumerate();
        let books = books.map(|(book, &size)| one_hot(&grid.indices.select(1, book as i64), size, kind));
        let mut features = self.first.forward(&Tensor::cat(&books.collect::<Result<Vec<_>, _>>()?, 1));
        for block in &self.blocks {
            features = block.forward(&features, None, Pass { features: None, dropout });
        }
        Ok(features.upsample_nearest2d(target, None, None))
    }
}
