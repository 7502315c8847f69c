//! Normalisation before convolutions and attention: over groups of channels, in a decoder perhaps modulated by the codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::layers::{GroupNorm, conv};

/// Groups of the normalisation that codes modulate, whatever `norm_groups` says.
pub(super) const SPATIAL_GROUPS: i64 = 32;

/// Normalisation in the decoder of a VQGAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecoderNorm {
    /// Group normalisation in `norm_groups` groups, as in the encoder.
    #[default]
    Group,
    /// MoVQ's: group normalisation in 32 groups, then times one 1×1 convolution of the codes plus another one, at every
    /// position (Zheng et al. 2022, "MoVQ: Modulating Quantized Vectors for High-Fidelity Image Generation", section
    /// 3.2; `SpatialNorm` of diffusers, which Kandinsky's decoder has).
    Spatial,
}

/// The form of all normalisations of an encoder or a decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormForm {
    pub groups: i64,
    /// Width of the codes that modulate, where they do.
    pub codes: Option<i64>,
}

/// What a forward pass hands to every block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Whether values are dropped.
    pub train: bool,
    /// Codes `[B, D, h, w]`, for normalisations that they modulate.
    pub codes: Option<&'a Tensor>,
}

/// A normalisation.
#[derive(Debug)]
pub(super) struct Norm {
    group: GroupNorm,
    modulation: Option<Modulation>,
}

impl Norm {
    /// Variables `weight` and `bias`; where codes modulate, these are in `norm_layer`, beside `conv_y` and `conv_b`.
    pub fn new(vs: &nn::Path, channels: i64, form: NormForm) -> Self {
        match form.codes {
            None => Self { group: GroupNorm::new(vs, form.groups, channels), modulation: None },
            Some(codes) => Self {
                group: GroupNorm::new(&(vs / "norm_layer"), SPATIAL_GROUPS, channels),
                modulation: Some(Modulation {
                    conv_y: conv(vs / "conv_y", codes, channels, 1),
                    conv_b: conv(vs / "conv_b", codes, channels, 1),
                }),
            },
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        match (&self.modulation, pass.codes) {
            (Some(modulation), Some(codes)) => modulation.forward(&self.group.forward(x), codes),
            _ => self.group.forward(x),
        }
    }

    /// [`forward`](Self::forward), then swish.
    pub fn swish(&self, x: &Tensor, pass: Pass) -> Tensor {
        match &self.modulation {
            Some(_) => self.forward(x, pass).silu(),
            None => self.group.swish(x),
        }
    }
}

/// `x * conv_y(codes) + conv_b(codes)`, the codes resized to `x` by repetition.
#[derive(Debug)]
struct Modulation {
    conv_y: nn::Conv2D,
    conv_b: nn::Conv2D,
}

impl Modulation {
    /// A 1×1 convolution and a repetition may change places: before it, there are fewer positions.
    fn forward(&self, x: &Tensor, codes: &Tensor) -> Tensor {
        let size = x.size();
        let [scale, shift] = [&self.conv_y, &self.conv_b]
            .map(|conv| codes.apply(conv).upsample_nearest2d([size[2], size[3]], None, None));
        x * scale + shift
    }
}
