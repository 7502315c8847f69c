//! What PixelSNAIL costs.

use super::config::PixelSnailConfig;
use crate::classes::Classes;
use crate::cost::saturating;
use crate::{Cost, PriorSpec};

/// Weights that a position is multiplied with, and other parameters; wide enough for any product of allowed sizes.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    weights: i128,
    others: i128,
}

impl Count {
    /// A weight-normalised convolution: its norms, and perhaps a bias, beside its weights.
    fn conv(channels: [i64; 2], area: i64, has_bias: bool) -> Self {
        let ([inputs, outputs], area) = (channels.map(i128::from), i128::from(area));
        Self { weights: inputs * outputs * area, others: outputs * (1 + i128::from(has_bias)) }
    }

    /// A gated residual block.
    fn block(channel: i64, res_channel: i64, kernel_size: i64) -> Self {
        let area = kernel_size * kernel_size;
        Self::conv([channel, res_channel], area, true).and(Self::conv([res_channel, 2 * channel], area, true))
    }

    fn and(self, other: Self) -> Self {
        Self { weights: self.weights + other.weights, others: self.others + other.others }
    }

    fn times(self, count: i64) -> Self {
        let count = i128::from(count);
        Self { weights: self.weights * count, others: self.others * count }
    }
}

/// Size, work and state of a prior that can be built. Attention counts the positions that are seen, half of all pairs; networks on
/// condition grids run at the grids' positions. The cursor's state is the rows under the kernels, and keys and values.
pub(super) fn cost(config: &PixelSnailConfig, spec: &PriorSpec) -> Cost {
    let (channel, codes, positions) = (config.channel, spec.target.codes(), spec.positions());
    let half = config.kernel_size / 2;
    let input = Count::conv([codes, channel], half * config.kernel_size, true);
    let input = input.and(Count::conv([codes, channel], (config.kernel_size + 1) / 2 * half, true));
    let head = Count::block(channel, config.res_channel, 1).times(config.n_out_res_block);
    let head = head.and(Count::conv([channel, codes], 1, true));
    let network = input.and(pixel_block(config, spec).times(config.n_block)).and(head);
    let class_rows = Classes::of(spec, config.class_dropout).map_or(0, Classes::rows);
    let mut others = network.others + i128::from(class_rows * channel);
    let (mut parameters, mut products) = (network.weights, network.weights * i128::from(positions));
    for grid in &spec.condition_grids {
        let count = cond_resnet(config, grid.codes());
        parameters += count.weights;
        others += count.others;
        products += count.weights * i128::from(grid.grid[0] * grid.grid[1]);
    }
    if config.attention {
        // Scores and mixtures of half a channel each, over half of all pairs of positions.
        products += i128::from(config.n_block * channel) * i128::from(positions).pow(2) / 2;
    }
    Cost {
        parameters: saturating(parameters + others),
        forward_flops_per_token: saturating(2 * products / i128::from(positions)),
        cache_values_per_sample: saturating(cache(config, spec)),
    }
}

fn pixel_block(config: &PixelSnailConfig, spec: &PriorSpec) -> Count {
    let channel = config.channel;
    let mut residual = Count::block(channel, config.res_channel, config.kernel_size);
    if !spec.condition_grids.is_empty() {
        residual = residual.and(Count::conv([config.cond_res_channel, 2 * channel], 1, false));
    }
    let residual = residual.times(config.n_res_block);
    if !config.attention {
        return residual.and(Count::conv([channel + 2, channel], 1, true));
    }
    let (queries, keys) = (channel + 2, 2 * channel + 2);
    let linear = |inputs: i64| Count::conv([inputs, channel / 2], 1, true);
    [
        Count::block(keys, channel, 1),
        Count::block(queries, channel, 1),
        linear(queries),
        linear(keys).times(2),
        Count::block(channel, channel, 1),
        Count::conv([channel / 2, channel], 1, true),
    ]
    .into_iter()
    .fold(residual, Count::and)
}

fn cond_resnet(config: &PixelSnailConfig, codes: i64) -> Count {
    let (width, kernel) = (config.cond_res_channel, config.cond_res_kernel);
    let blocks = Count::block(width, width, kernel).times(config.n_cond_res_block);
    Count::conv([codes, width], kernel * kernel, true).and(blocks)
}

/// Numbers that a cursor keeps of a sample.
fn cache(config: &PixelSnailConfig, spec: &PriorSpec) -> i128 {
    let row = spec.target.grid[1] + 2 * (config.kernel_size / 2);
    let rows =
        i128::from(config.n_res_block * config.kernel_size * row) * i128::from(config.channel + config.res_channel);
    let attention = if config.attention { i128::from(spec.positions()) * i128::from(config.channel) } else { 0 };
    i128::from(config.n_block) * (rows + attention)
}
