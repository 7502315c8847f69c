//! `type = "maskgit-vqgan"` of a recipe; its keys have the names of 1d-tokenizer's configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;
use vqkit_quantizer::QuantizerConfig;

use crate::bias_free::{BlockForm, EncoderForm, GROUPS, Shortcut, least_parameters};
use crate::config::{
    check_channels, check_dropout, check_factors, check_groups, check_images, check_range, check_resolution, scaled,
};
use crate::member::Member;
use crate::{Tokenizer, TokenizerError};

/// `type = "maskgit-vqgan"`: residual blocks without biases and without attention, one level of tokens.
///
/// Level `i` works at `1 / 2^i` of the image's resolution with `hidden_channels * channel_mult[i]` channels; the last
/// level has the resolution of the token grid. Downsampling is a mean over 2×2 pixels, upsampling a repetition and a 3×3
/// convolution. The quantizer's latents are the encoder's output, `z_channels` wide. The original weighs the terms of its
/// quantizer `vq` by `commitment_weight = 1` and `codebook_weight = 0.25`.
///
/// The original network works on images in `[0, 1]`. This one takes and gives images in `[-1, 1]`, as every tokenizer
/// does, and converts them itself: `(x + 1) / 2` on the way in, `2y - 1` on the way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskgitVqganConfig {
    /// Base number of channels, which `channel_mult` multiplies; a multiple of 32, the number of groups of every
    /// normalisation.
    pub hidden_channels: i64,
    /// Channels of the levels in units of `hidden_channels`, fine first; 1 to 16 levels. Each level but the last halves
    /// the resolution.
    pub channel_mult: Vec<i64>,
    /// Number of residual blocks per level and in the middle, of the encoder and of the decoder, at least 1.
    pub num_res_blocks: i64,
    /// Width D of the latents.
    pub z_channels: i64,
    /// Dropout rate inside residual blocks, in `[0, 1)`. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// Side of the images that the network is meant for, in pixels, a multiple of the downsampling. It changes nothing:
    /// the network takes images of any size that the downsampling divides. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<i64>,
    /// Number of channels of the images; where it is given, it must be that of the data. Default: that of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_channels: Option<i64>,
}

impl MaskgitVqganConfig {
    /// The published ImageNet model with 16×16 tokens for 256×256 pixels (1d-tokenizer, `PretrainedTokenizer`).
    pub fn imagenet_f16() -> Self {
        Self {
            hidden_channels: 128,
            channel_mult: vec![1, 1, 2, 2, 4],
            num_res_blocks: 2,
            z_channels: 256,
            dropout: 0.0,
            resolution: None,
            num_channels: None,
        }
    }

    /// Checks that `num_channels`, where it is given, equals the number of channels of the images.
    pub(super) fn check_images(&self, channels: i64) -> Result<(), TokenizerError> {
        check_images("num_channels", self.num_channels, channels)
    }

    /// Channels of every level, fine first.
    pub(super) fn widths(&self) -> Vec<i64> {
        scaled(self.hidden_channels, &self.channel_mult)
    }

    /// What all residual blocks have in common.
    pub(super) fn form(&self) -> BlockForm {
        BlockForm { shortcut: Shortcut::Output, dropout: self.dropout }
    }

    /// The form of the encoder.
    pub(super) fn encoder(&self) -> EncoderForm {
        EncoderForm {
            base: self.hidden_channels,
            widths: self.widths(),
            z_channels: self.z_channels,
            blocks: self.num_res_blocks,
            block: self.form(),
            mid: "mid",
            resamp_with_conv: false,
        }
    }

    /// How many times smaller the token grid is than the image, on each side.
    pub(super) fn stride(&self) -> i64 {
        1 << (self.channel_mult.len() - 1)
    }
}

impl Member for MaskgitVqganConfig {
    fn validate(&self) -> Result<(), TokenizerError> {
        check_groups("hidden_channels", self.hidden_channels, GROUPS)?;
        check_factors("channel_mult", self.hidden_channels, &self.channel_mult)?;
        check_range("num_res_blocks", self.num_res_blocks, 1)?;
        check_channels("z_channels", self.z_channels)?;
        check_dropout(self.dropout)?;
        check_resolution(self.resolution, self.stride())?;
        self.num_channels.map_or(Ok(()), |channels| check_channels("num_channels", channels))
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
