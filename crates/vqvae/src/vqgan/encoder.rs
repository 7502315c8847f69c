//! Images to the channels that `quant_conv` makes latents of.

use tch::{Tensor, nn};

use super::blocks::{Downsample, Level, LevelShape, Middle};
use super::config::VqganConfig;
use super::norm::{Norm, Pass};
use crate::layers::conv;

/// A convolution, the levels fine first with a halving after each but the last, the middle, normalisation, a convolution.
#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: nn::Conv2D,
    down: Vec<(Level, Option<Downsample>)>,
    mid: Middle,
    norm_out: Norm,
    conv_out: nn::Conv2D,
}

impl Encoder {
    /// `config` is valid.
    pub fn new(vs: &nn::Path, in_channels: i64, config: &VqganConfig) -> Self {
        let widths = config.widths();
        let form = config.encoder_form();
        let last = widths.len() - 1;
        let down = |level: usize| {
            let vs = vs / "down" / level;
            let shape = LevelShape {
                channels_in: if level == 0 { config.ch } else { widths[level - 1] },
                channels_out: widths[level],
                blocks: config.num_res_blocks,
                has_attention: config.has_attention(level),
                form,
            };
            let halve = || Downsample::new(&(&vs / "downsample"), widths[level], config.resamp_with_conv);
            (Level::new(&vs, shape), (level < last).then(halve))
        };
        Self {
            conv_in: conv(vs / "conv_in", in_channels, config.ch, 3),
            down: (0..=last).map(down).collect(),
            mid: Middle::new(&(vs / "mid"), widths[last], config.mid_attention, form),
            norm_out: Norm::new(&(vs / "norm_out"), widths[last], form.norm),
            conv_out: conv(vs / "conv_out", widths[last], config.z_channels, 3),
        }
    }

    /// `[B, C, H, W]` to `[B, z_channels, H / f, W / f]`; `f` divides both sides.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let pass = Pass { train, codes: None };
        let mut x = images.apply(&self.conv_in);
        for (level, downsample) in &self.down {
            x = level.forward(x, pass);
            if let Some(downsample) = downsample {
                x = downsample.forward(&x);
            }
        }
        self.norm_out.swish(&self.mid.forward(&x, pass), pass).apply(&self.conv_out)
    }
}
