//! Images to latents.

use tch::{Tensor, nn};

use super::config::MaskgitVqganConfig;
use crate::bias_free::{Blocks, GROUPS};
use crate::layers::{conv, conv_without_bias, group_norm, halved};

/// A convolution, the levels fine first with means over 2×2 after each but the last, the middle, normalisation, a 1×1
/// convolution; of all convolutions, the last alone has a bias.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: nn::Conv2D,
    down: Vec<Blocks>,
    mid: Blocks,
    norm_out: nn::GroupNorm,
    conv_out: nn::Conv2D,
}

impl Encoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, in_channels: i64, config: &MaskgitVqganConfig) -> Self {
        let (widths, blocks, form) = (config.widths(), config.num_res_blocks, config.form());
        let last = widths.len() - 1;
        let down = |level: usize| {
            let from = if level == 0 { config.hidden_channels } else { widths[level - 1] };
            Blocks::new(&(vs / "down" / level / "block"), blocks, from, widths[level], form)
        };
        Self {
            conv_in: conv_without_bias(vs / "conv_in", in_channels, config.hidden_channels, 3),
            down: (0..=last).map(down).collect(),
            mid: Blocks::new(&(vs / "mid"), blocks, widths[last], widths[last], form),
            norm_out: group_norm(&(vs / "norm_out"), GROUPS, widths[last]),
            conv_out: conv(vs / "conv_out", widths[last], config.z_channels, 1),
        }
    }

    /// `[B, C, H, W]` in `[0, 1]` to `[B, z_channels, H / f, W / f]`; `f` divides both sides.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let mut x = images.apply(&self.conv_in);
        for (level, blocks) in self.down.iter().enumerate() {
            x = if level == 0 { x } else { halved(&x) };
            x = blocks.forward(x, train);
        }
        self.mid.forward(x, train).apply(&self.norm_out).silu().apply(&self.conv_out)
    }
}
