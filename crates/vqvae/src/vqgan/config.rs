//! `type = "vqgan"` of a recipe; its keys have the names of taming-transformers' `ddconfig`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;
use vqkit_quantizer::QuantizerConfig;

use super::blocks::BlockForm;
use super::norm::{DecoderNorm, NormForm, SPATIAL_GROUPS};
use crate::config::{
    check_channels, check_dropout, check_factors, check_groups, check_images, check_one_vector, check_range, refuse,
    scaled,
};
use crate::member::Member;
use crate::{Tokenizer, TokenizerError};

/// `type = "vqgan"`: residual blocks and attention in the encoder and the decoder, one level of tokens.
///
/// Level `i` works at `resolution / 2^i` with `ch * ch_mult[i]` channels; the last level has the resolution of the
/// token grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VqganConfig {
    /// Base number of channels, which `ch_mult` multiplies; a multiple of `norm_groups`, and of 32 with
    /// `decoder_norm = "spatial"`.
    pub ch: i64,
    /// Channels of the levels in units of `ch`, fine first; 1 to 16 levels. Each level but the last halves the
    /// resolution.
    pub ch_mult: Vec<i64>,
    /// Channels of the decoder's levels in units of `ch`, fine first, as many as in `ch_mult`. Default: `ch_mult`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_ch_mult: Option<Vec<i64>>,
    /// Number of residual blocks per level of the encoder, at least 1; the decoder has one more per level.
    pub num_res_blocks: i64,
    /// Levels with attention, given by their resolution for images of `resolution` pixels; may be empty. The middle
    /// block has attention by `mid_attention`.
    pub attn_resolutions: Vec<i64>,
    /// Side of the images, in pixels, to which `attn_resolutions` refers. Images of other sizes have attention on the
    /// same levels.
    pub resolution: i64,
    /// Number of channels of the encoder's output and of the decoder's input.
    pub z_channels: i64,
    /// Width D of the latents; a 1×1 convolution reduces `z_channels` to it and another one expands it again.
    pub embed_dim: i64,
    /// Dropout rate inside residual blocks, in `[0, 1)`. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// Whether down- and upsampling are learned convolutions; otherwise downsampling is a mean over 2×2 pixels and
    /// upsampling a repetition. Default true.
    #[serde(default = "VqganConfig::default_resamp_with_conv")]
    pub resamp_with_conv: bool,
    /// Number of groups of every group normalisation, a divisor of `ch` (`norm_num_groups` of diffusers' `VQModel`).
    /// Default 32.
    #[serde(default = "VqganConfig::default_norm_groups")]
    pub norm_groups: i64,
    /// Whether the middle of encoder and decoder has attention. Without it and with an empty `attn_resolutions` there is
    /// no attention at all: latent-diffusion's `attn_type: none`, `mid_block_add_attention` of diffusers' `VQModel`.
    /// Default true.
    #[serde(default = "VqganConfig::default_mid_attention")]
    pub mid_attention: bool,
    /// Normalisation in the decoder (`norm_type` of diffusers' `VQModel`). `"spatial"` takes an `embed_dim` equal to
    /// `z_channels`. Default `"group"`.
    #[serde(default)]
    pub decoder_norm: DecoderNorm,
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

impl VqganConfig {
    /// The published ImageNet model with 16×16 tokens for 256×256 pixels (taming-transformers, `imagenet_vqgan.yaml`).
    pub fn imagenet_f16() -> Self {
        Self {
            ch: 128,
            ch_mult: vec![1, 1, 2, 2, 4],
            decoder_ch_mult: None,
            num_res_blocks: 2,
            attn_resolutions: vec![16],
            resolution: 256,
            z_channels: 256,
            embed_dim: 256,
            dropout: 0.0,
            resamp_with_conv: Self::default_resamp_with_conv(),
            norm_groups: Self::default_norm_groups(),
            mid_attention: Self::default_mid_attention(),
            decoder_norm: DecoderNorm::default(),
            in_channels: None,
            out_ch: None,
            double_z: false,
        }
    }

    /// Checks that `in_channels`, where it is given, equals the number of channels of the images.
    pub(super) fn check_images(&self, channels: i64) -> Result<(), TokenizerError> {
        check_images("in_channels", self.in_channels, channels)
    }

    /// Channels of every level of the encoder, fine first.
    pub(super) fn widths(&self) -> Vec<i64> {
        scaled(self.ch, &self.ch_mult)
    }

    /// Channels of every level of the decoder, fine first.
    pub(super) fn decoder_widths(&self) -> Vec<i64> {
        scaled(self.ch, self.decoder_ch_mult.as_ref().unwrap_or(&self.ch_mult))
    }

    /// What the blocks of the encoder have in common.
    pub(super) fn encoder_form(&self) -> BlockForm {
        BlockForm { norm: NormForm { groups: self.norm_groups, codes: None }, dropout: self.dropout }
    }

    /// What the blocks of the decoder have in common.
    pub(super) fn decoder_form(&self) -> BlockForm {
        let codes = (self.decoder_norm == DecoderNorm::Spatial).then_some(self.embed_dim);
        BlockForm { norm: NormForm { groups: self.norm_groups, codes }, dropout: self.dropout }
    }

    /// Whether there is attention on a level.
    pub(super) fn has_attention(&self, level: usize) -> bool {
        self.attn_resolutions.contains(&(self.resolution >> level))
    }

    /// How many times smaller the token grid is than the image, on each side.
    pub(super) fn stride(&self) -> i64 {
        1 << (self.ch_mult.len() - 1)
    }

    fn check_widths(&self) -> Result<(), TokenizerError> {
        check_range("norm_groups", self.norm_groups, 1)?;
        check_groups("ch", self.ch, self.norm_groups)?;
        if self.decoder_norm == DecoderNorm::Spatial {
            check_groups("ch", self.ch, SPATIAL_GROUPS)?;
        }
        check_factors("ch_mult", self.ch, &self.ch_mult)?;
        let Some(factors) = &self.decoder_ch_mult else { return Ok(()) };
        if factors.len() != self.ch_mult.len() {
            let reason = format!("{} levels; ch_mult has {}", factors.len(), self.ch_mult.len());
            return Err(refuse("decoder_ch_mult", reason));
        }
        check_factors("decoder_ch_mult", self.ch, factors)
    }

    fn check_modulation(&self) -> Result<(), TokenizerError> {
        if self.decoder_norm == DecoderNorm::Group || self.embed_dim == self.z_channels {
            return Ok(());
        }
        let reason = format!(
            "\"spatial\" takes as many channels before `post_quant_conv` as after it, but `embed_dim` is {} and \
             `z_channels` {}; set them equal",
            self.embed_dim, self.z_channels
        );
        Err(refuse("decoder_norm", reason))
    }

    /// Every resolution of `attn_resolutions` has to be that of a level: any other would be ignored silently.
    fn check_resolutions(&self) -> Result<(), TokenizerError> {
        check_range("resolution", self.resolution, self.stride())?;
        let levels: Vec<_> = (0..self.ch_mult.len()).map(|level| self.resolution >> level).collect();
        match self.attn_resolutions.iter().find(|wanted| !levels.contains(wanted)) {
            None => Ok(()),
            Some(wanted) => {
                Err(refuse("attn_resolutions", format!("no level works at {wanted}; they work at {levels:?}")))
            }
        }
    }

    fn default_resamp_with_conv() -> bool {
        true
    }

    fn default_norm_groups() -> i64 {
        32
    }

    fn default_mid_attention() -> bool {
        true
    }
}

impl Member for VqganConfig {
    fn validate(&self) -> Result<(), TokenizerError> {
        self.check_widths()?;
        check_range("num_res_blocks", self.num_res_blocks, 1)?;
        self.check_resolutions()?;
        check_channels("z_channels", self.z_channels)?;
        check_channels("embed_dim", self.embed_dim)?;
        self.check_modulation()?;
        check_dropout(self.dropout)?;
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

    /// Parameters of the two 3×3 convolutions of every residual block, except the first of a level, whose input may be
    /// narrow.
    fn least_parameters(&self) -> i64 {
        let of_levels = |widths: Vec<i64>, blocks: i64| -> i64 {
            widths.iter().map(|width| 9 * (2 * blocks - 1) * width * width).sum()
        };
        of_levels(self.widths(), self.num_res_blocks) + of_levels(self.decoder_widths(), self.num_res_blocks + 1)
    }
}
