//! What a transformer costs.

use super::layout::Layout;
use super::options::{Options, Vocabulary};
use super::{Gpt2Config, LlamaConfig};
use crate::cost::told;
use crate::{Cost, PriorError, PriorSpec};

/// What the counts of both members are made of.
struct Sizes {
    layers: i64,
    width: i64,
    /// Width of keys, and of values, of a position.
    kept: i64,
    /// Weights of the products of a block.
    block_weights: i64,
    /// Biases and norms of a block.
    block_others: i64,
    /// Numbers of the last norm.
    last_norm: i64,
    /// Vectors of positions.
    positions: i64,
    tied_head: bool,
}

impl Gpt2Config {
    /// Size, work and state, from the numbers alone. Attention counts the positions that are seen, half of all pairs.
    ///
    /// # Errors
    /// As [`Gpt2Config::check`].
    pub fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        let (width, layout) = (self.n_embd, Layout::new(spec, self.order)?);
        let foreign = spec.embedding.as_ref().filter(|embedding| embedding.dim != width);
        let null = spec.embedding.as_ref().filter(|_| self.options().has_null());
        let text = self.options().text_rows(spec).unwrap_or(0) + self.options().predicted_ids(spec).unwrap_or(0);
        let condition = text * width
            + foreign.map_or(0, |embedding| embedding.dim * width + width)
            + null.map_or(0, |embedding| embedding.length * embedding.dim);
        let sizes = Sizes {
            layers: self.n_layer,
            width,
            kept: width,
            block_weights: 12 * width * width,
            block_others: 13 * width,
            last_norm: 2 * width,
            positions: self.block_size.unwrap_or(layout.length()),
            tied_head: self.tied_head,
        };
        Ok(sizes.cost(spec, &layout, &self.options(), condition))
    }
}

impl LlamaConfig {
    /// Size, work and state, from the numbers alone. Attention counts the positions that are seen, half of all pairs.
    ///
    /// # Errors
    /// As [`LlamaConfig::check`].
    pub fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        let width = self.dim;
        let kept = width / self.n_head * self.kept_heads();
        let (options, places) = (self.options(), spec.text.as_ref().map_or(0, |text| text.length));
        let text = options.text_rows(spec).unwrap_or(0) + options.predicted_ids(spec).unwrap_or(0) + places;
        let embedding = spec.embedding.as_ref().map_or(0, |embedding| embedding.dim * width + width * width);
        let condition = text * width + embedding;
        let sizes = Sizes {
            layers: self.n_layer,
            width,
            kept,
            block_weights: 2 * width * width + 2 * width * kept + 3 * width * self.hidden(),
            block_others: 2 * width,
            last_norm: width,
            positions: 0,
            tied_head: self.tied_head,
        };
        Ok(sizes.cost(spec, &Layout::new(spec, self.order)?, &self.options(), condition))
    }
}

impl Sizes {
    /// `condition`: weights of what texts and embeddings go through.
    fn cost(&self, spec: &PriorSpec, layout: &Layout, options: &Options, condition: i64) -> Cost {
        let (length, tokens) = (layout.length(), layout.tokens());
        let head = options.rows(spec) * self.width;
        let tables = head * (2 - i64::from(self.tied_head)) + self.own_rows(spec, layout, options) * self.width;
        let blocks = self.layers * (self.block_weights + self.block_others);
        let of_position = i128::from(self.block_weights) + i128::from(self.width) * i128::from(length + 1);
        let read = 2 * i128::from(self.layers) * of_position * i128::from(length);
        // Of several codebooks, a token is predicted over its own.
        let codes = i128::from(spec.sizes.iter().sum::<i64>());
        let predicted = 2 * i128::from(self.width) * codes * layout.places.len() as i128;
        Cost {
            parameters: tables + blocks + self.last_norm + self.positions * self.width + condition,
            forward_flops_per_token: told((read + predicted) / i128::from(tokens)),
            cache_values_per_sample: told(2 * i128::from(self.layers * self.kept) * i128::from(length)),
        }
    }

    /// Vectors of classes and grids that have tables of their own.
    fn own_rows(&self, spec: &PriorSpec, layout: &Layout, options: &Options) -> i64 {
        if options.vocabulary == Vocabulary::Shared {
            return 0;
        }
        let classes = if layout.has_class { options.class_rows(spec) } else { 0 };
        let grids = spec.condition_grids.iter().map(|grid| options.grid_rows(spec, grid.sizes.iter().sum()));
        classes + grids.sum::<i64>()
    }
}
