//! A grid of tokens as a condition: features that every position of the target sees in full.

use tch::Tensor;
use tch::nn::{self, Module};
use vqkit_torch::TokenGrid;

use super::init::{conv, embedding};
use crate::{GridSpec, PriorError};

/// Embeds a grid, resizes it to the target's size (nearest neighbour), and applies residual blocks.
#[derive(Debug)]
pub(super) struct GridEncoder {
    embeddings: Vec<Tensor>,
    blocks: Vec<[nn::Conv<[i64; 2]>; 2]>,
}

impl GridEncoder {
    pub(super) fn new(vs: nn::Path, grid: &GridSpec, dim: i64, num_blocks: i64) -> Self {
        let tables = grid.sizes.iter().enumerate();
        let tables = tables.map(|(book, &size)| embedding(&(&vs / "embeddings" / book), size, dim));
        let block = |index: i64| {
            let vs = &vs / "blocks" / index;
            [conv(&vs / "conv1", [dim, dim], [3, 3], [1, 1]), conv(&vs / "conv2", [dim, dim], [1, 1], [0, 0])]
        };
        Self { embeddings: tables.collect(), blocks: (0..num_blocks).map(block).collect() }
    }

    /// `[B, Q, h, w]` to `[B, D, H, W]`, where `target` is `[H, W]`.
    pub(super) fn forward(&self, grid: &TokenGrid, target: [i64; 2]) -> Result<Tensor, PriorError> {
        let [batch, _, height, width] = grid.indices.size4()?.into();
        let dim = self.embeddings[0].size()[1];
        let mut features =
            Tensor::zeros([batch, height, width, dim], (self.embeddings[0].kind(), grid.indices.device()));
        for (book, table) in self.embeddings.iter().enumerate() {
            let tokens = grid.indices.select(1, book as i64);
            features += Tensor::f_embedding(table, &tokens, -1, false, false)?;
        }
        let mut features = features.permute([0, 3, 1, 2]).upsample_nearest2d(target, None, None);
        for [look, mix] in &self.blocks {
            features = &features + mix.forward(&look.forward(&features.relu()).relu());
        }
        Ok(features)
    }
}
