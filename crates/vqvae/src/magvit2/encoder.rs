//! Images to latents.

use tch::{Tensor, nn};

use super::config::Magvit2Config;
use crate::bias_free::{Blocks, GROUPS};
use crate::layers::{conv, conv_with, conv_without_bias, group_norm};

/// A convolution without bias, the levels fine first with a strided convolution after each but the last, the middle,
/// normalisation, a 1×1 convolution.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: nn::Conv2D,
    down: Vec<(Blocks, Option<nn::Conv2D>)>,
    mid_block: Blocks,
    norm_out: nn::GroupNorm,
    conv_out: nn::Conv2D,
}

impl Encoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, in_channels: i64, config: &Magvit2Config) -> Self {
        let (widths, blocks, form) = (config.widths(), config.num_res_blocks, config.form());
        let last = widths.len() - 1;
        let strided = nn::ConvConfig { stride: 2, padding: 1, ..Default::default() };
        let down = |level: usize| {
            let (vs, width) = (vs / "down" / level, widths[level]);
            let from = if level == 0 { config.ch } else { widths[level - 1] };
            let downsample = || conv_with(&vs / "downsample", width, width, 3, strided);
            (Blocks::new(&(&vs / "block"), blocks, from, width, form), (level < last).then(downsample))
        };
        Self {
            conv_in: conv_without_bias(vs / "conv_in", in_channels, config.ch, 3),
            down: (0..=last).map(down).collect(),
            mid_block: Blocks::new(&(vs / "mid_block"), blocks, widths[last], widths[last], form),
            norm_out: group_norm(&(vs / "norm_out"), GROUPS, widths[last]),
            conv_out: conv(vs / "conv_out", widths[last], config.z_channels, 1),
        }
    }

    /// `[B, C, H, W]` to `[B, z_channels, H / f, W / f]`; `f` divides both sides.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let mut x = images.apply(&self.conv_in);
        for (blocks, downsample) in &self.down {
            x = blocks.forward(x, train);
            if let Some(conv) = downsample {
                x = x.apply(conv);
            }
        }
        self.mid_block.forward(x, train).apply(&self.norm_out).silu().apply(&self.conv_out)
    }
}
