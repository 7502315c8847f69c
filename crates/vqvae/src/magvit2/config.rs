//! `type = "magvit2"` of a recipe; its keys have the names of Open-MAGVIT2's `ddconfig`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;
use vqkit_quantizer::QuantizerConfig;

use crate::bias_free::{BlockForm, EncoderForm, GROUPS, Shortcut, least_parameters};
use crate::config::{
    check_channels, check_factors, check_groups, check_images, check_one_vector, check_range, check_resolution, scaled,
};
use crate::member::Member;
use crate::{Tokenizer, TokenizerError};

/// `type = "magvit2"`: Open-MAGVIT2's image tokenizer, residual blocks without biases and without attention, one level of
/// tokens.
///
/// Level `i` works at `1 / 2^i` of the image's resolution with `ch * ch_mult[i]` channels; the last level has the
/// resolution of the token grid. Downsampling is a strided 3×3 convolution, upsampling a 3×3 convolution whose channels
/// become pixels. Every level of the decoder begins with a normalisation that the mean and the deviation of the codes
/// modulate. The quantizer's latents are the encoder's output, `z_channels` wide. The original quantizes by `lfq` with
/// `codebook_size = 2^z_channels` and `bit_order = "lsb-first"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Magvit2Config {
    /// Base number of channels, which `ch_mult` multiplies; a multiple of 32, the number of groups of every
    /// normalisation.
    pub ch: i64,
    /// Channels of the levels in units of `ch`, fine first; 1 to 16 levels. Each level but the last halves the
    /// resolution.
    pub ch_mult: Vec<i64>,
    /// Number of residual blocks per level and in the middle, of the encoder and of the decoder, at least 1.
    pub num_res_blocks: i64,
    /// Width D of the latents; the number of bits of a token of `lfq`.
    pub z_channels: i64,
    /// Side of the images that the network is meant for, in pixels, a multiple of the downsampling. It changes nothing:
    /// the network takes images of any size that the downsampling divides. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<i64>,
    /// Number of channels of the images; where it is given, it must be that of the data. Default: that of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<i64>,
    /// Number of channels of the decoder's output. A loss against the images needs as many as the images have. Default:
    /// that of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_ch: Option<i64>,
    /// Whether the encoder outputs a mean and a variance; must be false, since a quantizer takes one vector per
    /// position. Default false.
    #[serde(default)]
    pub double_z: bool,
}

impl Magvit2Config {
    /// The published ImageNet model with 16×16 tokens for 256×256 pixels (SEED-Voken, `imagenet_lfqgan_256_L.yaml`).
    pub fn imagenet_f16() -> Self {
        Self {
            ch: 128,
            ch_mult: vec![1, 1, 2, 2, 4],
            num_res_blocks: 4,
            z_channels: 18,
            resolution: None,
            in_channels: None,
            out_ch: None,
            double_z: false,
        }
    }

    /// Checks that `in_channels`, where it is given, equals the number of channels of the images.
    pub(super) fn check_images(&self, channels: i64) -> Result<(), TokenizerError> {
        check_images("in_channels", self.in_channels, channels)
    }

    /// Channels of every level, fine first.
    pub(super) fn widths(&self) -> Vec<i64> {
        scaled(self.ch, &self.ch_mult)
    }

    /// What all residual blocks have in common.
    pub(super) fn form(&self) -> BlockForm {
        BlockForm { shortcut: Shortcut::Input, dropout: 0.0 }
    }

    /// The form of the encoder.
    pub(super) fn encoder(&self) -> EncoderForm {
        EncoderForm {
            base: self.ch,
            widths: self.widths(),
            z_channels: self.z_channels,
            blocks: self.num_res_blocks,
            block: self.form(),
            mid: "mid_block",
            resamp_with_conv: true,
        }
    }

    /// How many times smaller the token grid is than the image, on each side.
    pub(super) fn stride(&self) -> i64 {
        1 << (self.ch_mult.len() - 1)
    }
}

impl Member for Magvit2Config {
    fn validate(&self) -> Result<(), TokenizerError> {
        check_groups("ch", self.ch, GROUPS)?;
        check_factors("ch_mult", self.ch, &self.ch_mult)?;
        check_range("num_res_blocks", self.num_res_blocks, 1)?;
        check_channels("z_channels", self.z_channels)?;
        check_resolution(self.resolution, self.stride())?;
        self.in_channels.map_or(Ok(()), |channels| check_channels("in_channels", channels))?;
        self.out_ch.map_or(Ok(()), |channels| check_channels("out_ch", channels))?;
        check_one_vector(self.double_z)
    }

    fn tokenizer(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        self.build(vs, in_channels, quantizer)
    }

    fn least_parameters(&self) -> i64 {
        least_parameters(&self.widths(), self.num_res_blocks)
    }
}
