//! What Gated PixelCNN costs.

use super::GatedPixelCnnConfig;
use crate::classes::Classes;
use crate::{Cost, GridSpec, PriorError, PriorSpec};

impl GatedPixelCnnConfig {
    /// Size, work and state, from the numbers alone.
    ///
    /// Every convolution runs at every position of the target, those on condition grids too. The cursor's state is the rows that
    /// the vertical stack still needs and the row that the horizontal stack is in.
    ///
    /// # Errors
    /// As [`GatedPixelCnnConfig::check`].
    pub fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        let (dim, codes) = (self.dim, spec.sizes[0]);
        let head = self.head_width * (dim + codes);
        let (mut weights, mut others, mut cache) = (head, codes * dim + self.head_width + codes, 0);
        for layer in 0..self.num_layers {
            weights += self.layer_weights(layer, spec);
            others += 7 * dim + self.class_rows(spec) * 2 * dim;
            cache += self.layer_cache(layer, spec);
        }
        for grid in &spec.condition_grids {
            weights += self.condition_blocks * 10 * dim * dim;
            others += self.condition_blocks * 2 * dim + table_rows(grid) * dim;
        }
        Ok(Cost { parameters: weights + others, forward_flops_per_token: 2 * weights, cache_values_per_sample: cache })
    }

    fn radius(&self, layer: i64) -> i64 {
        (if layer == 0 { self.first_kernel_size } else { self.kernel_size }) / 2
    }

    /// Weights of a layer's convolutions.
    fn layer_weights(&self, layer: i64, spec: &PriorSpec) -> i64 {
        let (dim, radius) = (self.dim, self.radius(layer));
        let vertical = 2 * dim * dim * (radius + 1) * (2 * radius + 1);
        let (across, horizontal, residual) = (4 * dim * dim, 2 * dim * dim * (radius + 1), dim * dim);
        let condition = if spec.condition_grids.is_empty() { 0 } else { 2 * dim * dim };
        vertical + across + horizontal + residual + condition
    }

    fn layer_cache(&self, layer: i64, spec: &PriorSpec) -> i64 {
        let (width, radius) = (spec.grid[1], self.radius(layer));
        let rows = radius + i64::from(layer > 0);
        self.dim * (rows * (width + 2 * radius) + radius + width)
    }

    /// Rows of the table of classes.
    fn class_rows(&self, spec: &PriorSpec) -> i64 {
        Classes::of(spec, self.class_dropout).map_or(0, Classes::rows)
    }
}

fn table_rows(grid: &GridSpec) -> i64 {
    grid.sizes.iter().sum()
}
