//! Images to latents.

use tch::{Tensor, nn};

use super::blocks::{BlockForm, Blocks, GROUPS};
use crate::layers::{GroupNorm, conv, conv_with, conv_without_bias, halved};

/// The form of an encoder.
#[derive(Debug)]
pub(crate) struct EncoderForm {
    /// Channels of the first convolution's output.
    pub base: i64,
    /// Channels of every level, fine first; at least one.
    pub widths: Vec<i64>,
    pub z_channels: i64,
    /// Residual blocks of every level and of the middle.
    pub blocks: i64,
    pub block: BlockForm,
    /// Name of the middle.
    pub mid: &'static str,
    /// Whether a strided convolution halves height and width, else a mean over 2×2.
    pub resamp_with_conv: bool,
}

/// A convolution without bias, the levels fine first with a halving after each but the last, the middle, normalisation, a
/// 1×1 convolution.
#[derive(Debug)]
pub(crate) struct Encoder {
    conv_in: nn::Conv2D,
    down: Vec<(Blocks, Option<nn::Conv2D>)>,
    mid: Blocks,
    norm_out: GroupNorm,
    conv_out: nn::Conv2D,
}

impl Encoder {
    /// Variables `conv_in`, `down.LEVEL.block`, perhaps `down.LEVEL.downsample`, the middle's, `norm_out`, `conv_out`.
    pub fn new(vs: &nn::Path, in_channels: i64, form: &EncoderForm) -> Self {
        let EncoderForm { base, ref widths, z_channels, blocks, block, mid, resamp_with_conv } = *form;
        let last = widths.len() - 1;
        let strided = nn::ConvConfig { stride: 2, padding: 1, ..Default::default() };
        let down = |level: usize| {
            let (vs, width) = (vs / "down" / level, widths[level]);
            let from = if level == 0 { base } else { widths[level - 1] };
            let downsample = || conv_with(&vs / "downsample", width, width, 3, strided);
            let learned = resamp_with_conv && level < last;
            (Blocks::new(&(&vs / "block"), blocks, from, width, block), learned.then(downsample))
        };
        Self {
            conv_in: conv_without_bias(vs / "conv_in", in_channels, base, 3),
            down: (0..=last).map(down).collect(),
            mid: Blocks::new(&(vs / mid), blocks, widths[last], widths[last], block),
            norm_out: GroupNorm::new(&(vs / "norm_out"), GROUPS, widths[last]),
            conv_out: conv(vs / "conv_out", widths[last], z_channels, 1),
        }
    }

    /// `[B, C, H, W]` to `[B, z_channels, H / f, W / f]`; `f` divides both sides.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let mut x = images.apply(&self.conv_in);
        for (level, (blocks, downsample)) in self.down.iter().enumerate() {
            x = blocks.forward(x, train);
            x = match downsample {
                Some(conv) => x.apply(conv),
                None if level + 1 < self.down.len() => halved(&x),
                None => x,
            };
        }
        self.norm_out.swish(&self.mid.forward(x, train)).apply(&self.conv_out)
    }
}
