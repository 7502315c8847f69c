//! Codes to images.

use tch::{Kind, Tensor, nn};

use super::config::Magvit2Config;
use crate::bias_free::{Blocks, GROUPS};
use crate::layers::{GroupNorm, bare_group_norm, conv, linear};

/// Added to the variance of a code's channel.
const EPS: f64 = 1e-6;

/// A convolution, the middle, the levels coarse first, normalisation, a convolution. A level begins with
/// [`AdaptiveNorm`], and each but the finest ends with [`Upsample`].
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: nn::Conv2D,
    mid_block: Blocks,
    /// Fine first, as upstream counts them: run backwards.
    levels: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: nn::Conv2D,
}

/// One resolution.
#[derive(Debug)]
struct Level {
    adaptive: AdaptiveNorm,
    blocks: Blocks,
    upsample: Option<Upsample>,
}

impl Decoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, out_channels: i64, config: &Magvit2Config) -> Self {
        let (widths, blocks, form) = (config.widths(), config.num_res_blocks, config.form());
        let last = widths.len() - 1;
        let level = |level: usize| {
            let (up, width) = (vs / "up" / level, widths[level]);
            let from = widths[(level + 1).min(last)];
            Level {
                adaptive: AdaptiveNorm::new(&(vs / "adaptive" / level), config.z_channels, from),
                blocks: Blocks::new(&(&up / "block"), blocks, from, width, form),
                upsample: (level > 0).then(|| Upsample::new(&(&up / "upsample"), width)),
            }
        };
        Self {
            conv_in: conv(vs / "conv_in", config.z_channels, widths[last], 3),
            mid_block: Blocks::new(&(vs / "mid_block"), blocks, widths[last], widths[last], form),
            levels: (0..=last).map(level).collect(),
            norm_out: GroupNorm::new(&(vs / "norm_out"), GROUPS, widths[0]),
            conv_out: conv(vs / "conv_out", widths[0], out_channels, 3),
        }
    }

    /// `[B, z_channels, H / f, W / f]` to `[B, out_ch, H, W]`, not clamped.
    pub fn forward(&self, codes: &Tensor, train: bool) -> Tensor {
        let style = Style::of(codes);
        let mut x = self.mid_block.forward(codes.apply(&self.conv_in), train);
        for Level { adaptive, blocks, upsample } in self.levels.iter().rev() {
            x = blocks.forward(adaptive.forward(&x, &style), train);
            if let Some(upsample) = upsample {
                x = upsample.forward(&x);
            }
        }
        self.norm_out.swish(&x).apply(&self.conv_out)
    }

    /// The weight of the last convolution.
    pub fn last_layer(&self) -> &Tensor {
        &self.conv_out.ws
    }
}

/// Statistics of every channel of the codes over all positions, each `[B, D]`.
struct Style {
    mean: Tensor,
    deviation: Tensor,
}

impl Style {
    /// Of codes `[B, D, h, w]`. The variance is unbiased; that of a single position is 0, where upstream's is no number.
    fn of(codes: &Tensor) -> Self {
        let by_channel = codes.flatten(2, -1);
        let last = [-1i64];
        let correction = i64::from(by_channel.size()[2] > 1);
        let variance = by_channel.var_correction(last.as_slice(), correction, false);
        Self { mean: by_channel.mean_dim(last.as_slice(), false, Kind::Float), deviation: (variance + EPS).sqrt() }
    }
}

/// Group normalisation without weights, times a linear map of the codes' deviations, plus one of their means.
#[derive(Debug)]
struct AdaptiveNorm {
    gamma: nn::Linear,
    beta: nn::Linear,
}

impl AdaptiveNorm {
    fn new(vs: &nn::Path, codes: i64, channels: i64) -> Self {
        Self { gamma: linear(vs / "gamma", codes, channels), beta: linear(vs / "beta", codes, channels) }
    }

    /// `[B, C, H, W]` to the same.
    fn forward(&self, x: &Tensor, style: &Style) -> Tensor {
        let everywhere = |of_channel: Tensor| of_channel.unsqueeze(-1).unsqueeze(-1);
        let scale = everywhere(style.deviation.apply(&self.gamma));
        let shift = everywhere(style.mean.apply(&self.beta));
        bare_group_norm(x, GROUPS) * scale + shift
    }
}

/// Doubles height and width: a convolution to four times the channels, of which each four become a square of 2×2.
#[derive(Debug)]
struct Upsample {
    conv1: nn::Conv2D,
}

impl Upsample {
    fn new(vs: &nn::Path, channels: i64) -> Self {
        Self { conv1: conv(vs / "conv1", channels, 4 * channels, 3) }
    }

    /// `[B, C, H, W]` to `[B, C, 2H, 2W]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        depth_to_space(&x.apply(&self.conv1))
    }
}

/// `[B, 4C, H, W]` to `[B, C, 2H, 2W]`: the channels are ordered by row in the square, then column, then channel.
fn depth_to_space(x: &Tensor) -> Tensor {
    let size = x.size();
    let (channels, height, width) = (size[1] / 4, size[2], size[3]);
    let squares = x.view([size[0], 2, 2, channels, height, width].as_slice());
    squares.permute([0, 3, 4, 1, 5, 2]).reshape([size[0], channels, 2 * height, 2 * width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_square_s_row_is_the_slowest_of_its_channels() {
        let x = Tensor::arange(16, (Kind::Int64, Device::Cpu)).view([1i64, 8, 1, 2]);
        // Two channels of four in a square each, at two positions side by side: channel c of row r and column k at
        // position p is 4 (2r + k) + 2c + p.
        let wanted = [0i64, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15];
        assert_eq!(depth_to_space(&x), Tensor::from_slice(&wanted).view([1i64, 2, 2, 4]));
    }

    #[test]
    fn a_single_position_has_no_deviation() {
        let style = Style::of(&Tensor::ones([1, 3, 1, 1], (Kind::Float, Device::Cpu)));
        assert!(style.deviation.allclose(&Tensor::full([1, 3], 1e-3, (Kind::Float, Device::Cpu)), 1e-4, 0.0, false));
    }
}
