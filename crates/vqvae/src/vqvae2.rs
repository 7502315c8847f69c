//! VQ-VAE-2 with two levels (Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};
use vqkit_quantizer::QuantizerConfig;

use crate::blocks::{Norm, NormKind, Residual, ResidualShape, ResidualStack, conv, double, halve};
use crate::config::{self, check_channels, check_channels_in, check_count};
use crate::member::Member;
use crate::network::{Network, Quantize};
use crate::{Tokenizer, TokenizerError};

/// `type = "vqvae2"`: a top level 8 times smaller than the image and a bottom level 4 times smaller, which is encoded
/// conditioned on the codes of the top level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VqVae2Config {
    /// Channels at the resolutions of both token grids; must be even, since the finer resolutions have half as many.
    /// Default 128, as upstream.
    #[serde(default = "config::vqvae2_channels")]
    pub channels: i64,
    /// Number of residual blocks in each encoder and decoder. Default 2.
    #[serde(default = "config::residual_blocks")]
    pub residual_blocks: i64,
    /// Channels inside a residual block. Default 32.
    #[serde(default = "config::vqvae2_residual_channels")]
    pub residual_channels: i64,
    /// Width D of the latents of both levels. Default 64.
    #[serde(default = "config::vqvae2_embed_dim")]
    pub embed_dim: i64,
    /// Normalisation inside residual blocks. Default `"none"`.
    #[serde(default)]
    pub norm: NormKind,
    /// Normalisation of the latents of both levels, without which the top level may collapse to a few codes. Default
    /// `"none"`.
    #[serde(default)]
    pub latent_norm: NormKind,
    /// Order of operations in residual blocks. Default `"plain"`.
    #[serde(default)]
    pub residual: Residual,
}

impl Default for VqVae2Config {
    fn default() -> Self {
        Self {
            channels: config::vqvae2_channels(),
            residual_blocks: config::residual_blocks(),
            residual_channels: config::vqvae2_residual_channels(),
            embed_dim: config::vqvae2_embed_dim(),
            norm: NormKind::default(),
            latent_norm: NormKind::default(),
            residual: Residual::default(),
        }
    }
}

impl VqVae2Config {
    /// Creates a tokenizer of images with `in_channels` channels, with its variables at `vs`, divided as upstream
    /// (rosinality/vq-vae-2-pytorch): `enc_b`, `enc_t`, `quantize_conv_t`, `quantize_t`, `dec_t`, `quantize_conv_b`,
    /// `quantize_b`, `upsample_t`, `dec`; and `latent_norm_t` and `latent_norm_b`.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range, and the quantizer's errors.
    pub fn build(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        self.validate()?;
        check_channels_in(in_channels)?;
        let Self { channels, embed_dim, .. } = *self;
        let (half, residual) = (channels / 2, self.residual_shape());
        let network = VqVae2 {
            encoder_bottom: Encoder::new(&(vs / "enc_b"), &[in_channels, half, channels], channels, residual),
            encoder_top: Encoder::new(&(vs / "enc_t"), &[channels, half], channels, residual),
            project_top: conv(vs / "quantize_conv_t", channels, embed_dim, 1),
            norm_top: Norm::new(&(vs / "latent_norm_t"), self.latent_norm, embed_dim),
            decoder_top: Decoder::new(&(vs / "dec_t"), embed_dim, &[channels, embed_dim], residual),
            project_bottom: conv(vs / "quantize_conv_b", embed_dim + channels, embed_dim, 1),
            norm_bottom: Norm::new(&(vs / "latent_norm_b"), self.latent_norm, embed_dim),
            upsample_top: double(vs / "upsample_t", embed_dim, embed_dim),
            decoder: Decoder::new(&(vs / "dec"), 2 * embed_dim, &[channels, half, in_channels], residual),
            channels: in_channels,
            embed_dim,
        };
        Tokenizer::new(Box::new(network), vs, quantizer, &["quantize_t", "quantize_b"])
    }

    fn residual_shape(&self) -> ResidualShape {
        ResidualShape {
            blocks: self.residual_blocks,
            channels: self.residual_channels,
            norm: self.norm,
            order: self.residual,
        }
    }
}

impl Member for VqVae2Config {
    fn validate(&self) -> Result<(), TokenizerError> {
        check_channels("channels", self.channels)?;
        if self.channels % 2 != 0 {
            let reason = format!("{} must be even: the finer grids have half as many", self.channels);
            return Err(TokenizerError::Config { field: "channels", reason });
        }
        check_count("residual_blocks", self.residual_blocks)?;
        check_channels("residual_channels", self.residual_channels)?;
        check_channels("embed_dim", self.embed_dim)
    }

    fn tokenizer(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        self.build(vs, in_channels, quantizer)
    }

    /// Parameters of the residual blocks of two encoders and two decoders.
    fn least_parameters(&self) -> i64 {
        4 * self.residual_shape().parameters(self.channels)
    }

    fn latent_norm(&self) -> Option<NormKind> {
        Some(self.latent_norm)
    }
}

#[derive(Debug)]
struct VqVae2 {
    encoder_bottom: Encoder,
    encoder_top: Encoder,
    project_top: nn::Conv2D,
    norm_top: Norm,
    decoder_top: Decoder,
    project_bottom: nn::Conv2D,
    norm_bottom: Norm,
    upsample_top: nn::ConvTranspose2D,
    decoder: Decoder,
    channels: i64,
    embed_dim: i64,
}

impl Network for VqVae2 {
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError> {
        let bottom = self.encoder_bottom.forward(images, train);
        let top = self.encoder_top.forward(&bottom, train).apply(&self.project_top);
        let codes_top = quantize(0, self.norm_top.forward(&top, train))?;
        let known = self.decoder_top.forward(&codes_top, train);
        let latents = Tensor::cat(&[known, bottom], 1).apply(&self.project_bottom);
        Ok(vec![codes_top, quantize(1, self.norm_bottom.forward(&latents, train))?])
    }

    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor {
        let top = codes[0].apply(&self.upsample_top);
        self.decoder.forward(&Tensor::cat(&[&top, &codes[1]], 1), train)
    }

    fn strides(&self) -> &[i64] {
        &[8, 4]
    }

    fn channels(&self) -> i64 {
        self.channels
    }

    fn dims(&self) -> Vec<i64> {
        vec![self.embed_dim; 2]
    }

    fn decoder_parts(&self) -> &'static [&'static str] {
        &["dec", "upsample_t"]
    }

    fn last_layer(&self) -> &Tensor {
        self.decoder.last_layer()
    }
}

/// Halvings with ReLU, a 3×3 convolution, residual blocks, ReLU.
#[derive(Debug)]
struct Encoder {
    halvings: Vec<nn::Conv2D>,
    mix: nn::Conv2D,
    residual: ResidualStack,
}

impl Encoder {
    /// `widths`: channels of the input and after each halving; `channels`: of the output.
    fn new(vs: &nn::Path, widths: &[i64], channels: i64, residual: ResidualShape) -> Self {
        let steps = widths.windows(2).enumerate();
        Self {
            halvings: steps.map(|(step, pair)| halve(vs / "down" / step, pair[0], pair[1])).collect(),
            mix: conv(vs / "mix", widths[widths.len() - 1], channels, 3),
            residual: ResidualStack::new(&(vs / "residual"), channels, residual),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let x = self.halvings.iter().fold(x.shallow_clone(), |x, halving| x.apply(halving).relu());
        self.residual.forward(x.apply(&self.mix), train).relu()
    }
}

/// A 3×3 convolution, residual blocks, then doublings, each of a rectified input.
#[derive(Debug)]
struct Decoder {
    mix: nn::Conv2D,
    residual: ResidualStack,
    doublings: Vec<nn::ConvTranspose2D>,
}

impl Decoder {
    /// `widths`: channels before the first doubling and after each.
    fn new(vs: &nn::Path, in_channels: i64, widths: &[i64], residual: ResidualShape) -> Self {
        let steps = widths.windows(2).enumerate();
        Self {
            mix: conv(vs / "mix", in_channels, widths[0], 3),
            residual: ResidualStack::new(&(vs / "residual"), widths[0], residual),
            doublings: steps.map(|(step, pair)| double(vs / "up" / step, pair[0], pair[1])).collect(),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let x = self.residual.forward(x.apply(&self.mix), train);
        self.doublings.iter().fold(x, |x, doubling| x.relu().apply(doubling))
    }

    fn last_layer(&self) -> &Tensor {
        &self.doublings[self.doublings.len() - 1].ws
    }
}
