//! Codes to images.

use tch::{Tensor, nn};

use super::config::MaskgitVqganConfig;
use crate::bias_free::{Blocks, GROUPS};
use crate::layers::{GroupNorm, conv, doubled};

/// A convolution, the middle, the levels coarse first, each but the finest followed by a repetition of every value and a
/// convolution, normalisation, a convolution. Convolutions outside of blocks have a bias.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: nn::Conv2D,
    mid: Blocks,
    /// Fine first, as upstream counts them: run backwards.
    up: Vec<(Blocks, Option<nn::Conv2D>)>,
    norm_out: GroupNorm,
    conv_out: nn::Conv2D,
}

impl Decoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, out_channels: i64, config: &MaskgitVqganConfig) -> Self {
        let (widths, blocks, form) = (config.widths(), config.num_res_blocks, config.form());
        let last = widths.len() - 1;
        let up = |level: usize| {
            let (vs, width) = (vs / "up" / level, widths[level]);
            let upsample_conv = || conv(&vs / "upsample_conv", width, width, 3);
            let from = widths[(level + 1).min(last)];
            (Blocks::new(&(&vs / "block"), blocks, from, width, form), (level > 0).then(upsample_conv))
        };
        Self {
            conv_in: conv(vs / "conv_in", config.z_channels, widths[last], 3),
            mid: Blocks::new(&(vs / "mid"), blocks, widths[last], widths[last], form),
            up: (0..=last).map(up).collect(),
            norm_out: GroupNorm::new(&(vs / "norm_out"), GROUPS, widths[0]),
            conv_out: conv(vs / "conv_out", widths[0], out_channels, 3),
        }
    }

    /// `[B, z_channels, H / f, W / f]` to `[B, C, H, W]` in `[0, 1]`, not clamped.
    pub fn forward(&self, codes: &Tensor, train: bool) -> Tensor {
        let mut x = self.mid.forward(codes.apply(&self.conv_in), train);
        for (blocks, upsample_conv) in self.up.iter().rev() {
            x = blocks.forward(x, train);
            if let Some(conv) = upsample_conv {
                x = doubled(&x).apply(conv);
            }
        }
        self.norm_out.swish(&x).apply(&self.conv_out)
    }

    /// The weight of the last convolution.
    pub fn last_layer(&self) -> &Tensor {
        &self.conv_out.ws
    }
}
