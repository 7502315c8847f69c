//! What `post_quant_conv` makes of codes, to images.

use tch::{Tensor, nn};

use super::blocks::{Level, LevelShape, Middle, Upsample};
use super::config::VqganConfig;
use super::norm::{Norm, Pass};
use crate::layers::conv;

/// A convolution, the middle, the levels coarse first with a doubling after each but the finest, normalisation, a
/// convolution.
#[derive(Debug)]
pub(super) struct Decoder {
    conv_in: nn::Conv2D,
    mid: Middle,
    /// Fine first, as upstream counts them: run backwards.
    up: Vec<(Level, Option<Upsample>)>,
    norm_out: Norm,
    conv_out: nn::Conv2D,
}

impl Decoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, out_channels: i64, config: &VqganConfig) -> Self {
        let widths = config.decoder_widths();
        let form = config.decoder_form();
        let last = widths.len() - 1;
        let up = |level: usize| {
            let vs = vs / "up" / level;
            let shape = LevelShape {
                channels_in: widths[(level + 1).min(last)],
                channels_out: widths[level],
                blocks: config.num_res_blocks + 1,
                has_attention: config.decoder_has_attention(level),
                form,
            };
            let double = || Upsample::new(&(&vs / "upsample"), widths[level], config.resamp_with_conv);
            (Level::new(&vs, shape), (level > 0).then(double))
        };
        Self {
            conv_in: conv(vs / "conv_in", config.z_channels, widths[last], 3),
            mid: Middle::new(&(vs / "mid"), widths[last], config.mid_attention, form),
            up: (0..=last).map(up).collect(),
            norm_out: Norm::new(&(vs / "norm_out"), widths[0], form.norm),
            conv_out: conv(vs / "conv_out", widths[0], out_channels, 3),
        }
    }

    /// `[B, z_channels, H / f, W / f]` to `[B, out_ch, H, W]`, not clamped; `z` was made of the codes of `pass`.
    pub fn forward(&self, z: &Tensor, pass: Pass) -> Tensor {
        let mut x = self.mid.forward(&z.apply(&self.conv_in), pass);
        for (level, upsample) in self.up.iter().rev() {
            x = level.forward(x, pass);
            if let Some(upsample) = upsample {
                x = upsample.forward(&x);
            }
        }
        self.norm_out.swish(&x, pass).apply(&self.conv_out)
    }

    /// The weight of the last convolution.
    pub fn last_layer(&self) -> &Tensor {
        &self.conv_out.ws
    }
}
