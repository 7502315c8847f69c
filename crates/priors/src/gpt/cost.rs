//! What a transformer costs.

use super::layout::Layout;
use super::options::{Options, Vocabulary};
use crate::cost::saturating;
use crate::{Cost, PriorSpec};

/// The sizes of a transformer that its counts are made of.
pub(super) struct Sizes {
    pub layers: i64,
    pub width: i64,
    /// Width of keys, and of values, of a position.
    pub kv_width: i64,
    /// Weights of the products of a block.
    pub block_weights: i64,
    /// Biases and norms of a block.
    pub block_others: i64,
    /// Numbers of the last norm.
    pub last_norm: i64,
    /// Vectors of positions.
    pub positions: i64,
    pub tied_head: bool,
}

impl Sizes {
    /// Size, work and state. Attention counts the positions that are seen, half of all pairs. `condition` counts the weights that
    /// texts and embeddings go through.
    pub(super) fn cost(&self, spec: &PriorSpec, layout: &Layout, options: &Options, condition: i64) -> Cost {
        let (length, tokens) = (layout.length(), layout.tokens());
        let head = options.rows(spec) * self.width;
        let tables = head * (2 - i64::from(self.tied_head)) + self.own_rows(spec, layout, options) * self.width;
        let blocks = self.layers * (self.block_weights + self.block_others);
        let of_position = i128::from(self.block_weights) + i128::from(self.width) * i128::from(length + 1);
        let read = 2 * i128::from(self.layers) * of_position * i128::from(length);
        // Of several codebooks, a token is predicted over its own.
        let codes = i128::from(spec.target.codes());
        let predicted = 2 * i128::from(self.width) * codes * layout.order.len() as i128;
        Cost {
            parameters: tables + blocks + self.last_norm + self.positions * self.width + condition,
            forward_flops_per_token: saturating((read + predicted) / i128::from(tokens)),
            cache_values_per_sample: saturating(2 * i128::from(self.layers * self.kv_width) * i128::from(length)),
        }
    }

    /// Vectors of classes and grids that have tables of their own.
    fn own_rows(&self, spec: &PriorSpec, layout: &Layout, options: &Options) -> i64 {
        if options.vocabulary == Vocabulary::Shared {
            return 0;
        }
        let classes = if layout.has_class { options.class_rows(spec) } else { 0 };
        let grids = spec.condition_grids.iter().map(|grid| options.grid_rows(spec, grid.codes()));
        classes + grids.sum::<i64>()
    }
}
