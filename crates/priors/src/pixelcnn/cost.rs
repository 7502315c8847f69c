//! What Gated PixelCNN costs.

use super::config::GatedPixelCnnConfig;
use crate::classes::Classes;
use crate::{Cost, GridSpec, PriorSpec};

/// Size, work and state of a prior that can be built.
///
/// Every convolution runs at every position of the target, those on condition grids too. The cursor's state is the rows that
/// the vertical stack still needs and the row that the horizontal stack is in.
pub(super) fn cost(config: &GatedPixelCnnConfig, spec: &PriorSpec) -> Cost {
    let (dim, codes) = (config.dim, spec.target.codes());
    let head = config.head_width * (dim + codes);
    let (mut weights, mut others, mut cache) = (head, codes * dim + config.head_width + codes, 0);
    let class_rows = Classes::of(spec, config.class_dropout).map_or(0, Classes::rows);
    for layer in 0..config.num_layers {
        let radius = (if layer == 0 { config.first_kernel_size } else { config.kernel_size }) / 2;
        weights += layer_weights(dim, radius, !spec.condition_grids.is_empty());
        others += 7 * dim + class_rows * 2 * dim;
        cache += layer_cache(dim, radius, layer == 0, &spec.target);
    }
    for grid in &spec.condition_grids {
        weights += config.condition_blocks * 10 * dim * dim;
        others += config.condition_blocks * 2 * dim + grid.codes() * dim;
    }
    Cost { parameters: weights + others, forward_flops_per_token: 2 * weights, cache_values_per_sample: cache }
}

/// Weights of a layer's convolutions.
fn layer_weights(dim: i64, radius: i64, has_features: bool) -> i64 {
    let vertical = 2 * dim * dim * (radius + 1) * (2 * radius + 1);
    let (across, horizontal, residual) = (4 * dim * dim, 2 * dim * dim * (radius + 1), dim * dim);
    let condition = if has_features { 2 * dim * dim } else { 0 };
    vertical + across + horizontal + residual + condition
}

fn layer_cache(dim: i64, radius: i64, is_first: bool, target: &GridSpec) -> i64 {
    let width = target.grid[1];
    let rows = radius + i64::from(!is_first);
    dim * (rows * (width + 2 * radius) + radius + width)
}
