//! VQ-VAE (van den Oord et al. 2017, "Neural Discrete Representation Learning", section 4.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};
use vqkit_quantizer::QuantizerConfig;

use crate::blocks::{Norm, NormKind, Residual, ResidualShape, ResidualStack, conv, double, halve};
use crate::config::{self, check_channels, check_channels_in, check_count, check_downsampling};
use crate::member::Member;
use crate::network::{Network, Quantize};
use crate::{Tokenizer, TokenizerError};

/// `type = "vqvae"`: strided 4×4 convolutions and residual blocks, one level of tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VqVaeConfig {
    /// Channels at the resolution of the token grid.
    pub channels: i64,
    /// Channels at the finer resolutions. Default: `channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine_channels: Option<i64>,
    /// How many times smaller the token grid is than the image, on each side; a power of two. Default 4.
    #[serde(default = "config::downsampling")]
    pub downsampling: i64,
    /// Number of residual blocks in the encoder, and in the decoder. Default 2, as in the paper.
    #[serde(default = "config::residual_blocks")]
    pub residual_blocks: i64,
    /// Channels inside a residual block. Default: `channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual_channels: Option<i64>,
    /// Width D of the latents, with a convolution before and after quantization. Default: no such convolutions; the
    /// output of the residual blocks is quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Normalisation after convolutions. Default `"none"`.
    #[serde(default)]
    pub norm: NormKind,
    /// Normalisation of the latents, which keeps their scale fixed while the codes follow them. Default `"none"`.
    #[serde(default)]
    pub latent_norm: NormKind,
    /// Order of operations in residual blocks. Default `"plain"`.
    #[serde(default)]
    pub residual: Residual,
    /// Last operation of the decoder. Default `"linear"`.
    #[serde(default)]
    pub output: Output,
}

/// Last operation of a decoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// None after the last convolution.
    #[default]
    Linear,
    /// A hyperbolic tangent, which keeps images within `[-1, 1]`.
    Tanh,
}

impl VqVaeConfig {
    /// `channels` everywhere, and the default of every other key.
    pub fn new(channels: i64) -> Self {
        Self {
            channels,
            fine_channels: None,
            downsampling: config::downsampling(),
            residual_blocks: config::residual_blocks(),
            residual_channels: None,
            embed_dim: None,
            norm: NormKind::default(),
            latent_norm: NormKind::default(),
            residual: Residual::default(),
            output: Output::default(),
        }
    }

    /// Creates a tokenizer of images with `in_channels` channels, with its variables at `vs`: `encoder`, `decoder` and
    /// `quantize`.
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
        let network = VqVae {
            encoder: Encoder::new(&(vs / "encoder"), in_channels, self),
            decoder: Decoder::new(&(vs / "decoder"), in_channels, self),
            stride: [self.downsampling],
            channels: in_channels,
            dim: self.dim(),
        };
        Tokenizer::new(Box::new(network), vs, quantizer, &["quantize"])
    }

    fn fine_channels(&self) -> i64 {
        self.fine_channels.unwrap_or(self.channels)
    }

    fn residual_channels(&self) -> i64 {
        self.residual_channels.unwrap_or(self.channels)
    }

    /// Width of the latents.
    fn dim(&self) -> i64 {
        self.embed_dim.unwrap_or(self.channels)
    }

    fn residual_shape(&self) -> ResidualShape {
        ResidualShape {
            blocks: self.residual_blocks,
            channels: self.residual_channels(),
            norm: self.norm,
            order: self.residual,
        }
    }

    /// Channels after each halving of the image.
    fn widths(&self) -> Vec<i64> {
        let halvings = self.downsampling.ilog2() as usize;
        let mut widths = vec![self.fine_channels(); halvings];
        widths[halvings - 1] = self.channels;
        widths
    }
}

impl Member for VqVaeConfig {
    fn validate(&self) -> Result<(), TokenizerError> {
        check_channels("channels", self.channels)?;
        check_channels("fine_channels", self.fine_channels())?;
        check_downsampling(self.downsampling)?;
        check_count("residual_blocks", self.residual_blocks)?;
        check_channels("residual_channels", self.residual_channels())?;
        self.embed_dim.map_or(Ok(()), |dim| check_channels("embed_dim", dim))
    }

    fn tokenizer(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        self.build(vs, in_channels, quantizer)
    }

    /// Parameters of the residual blocks, and of the convolutions that halve and double.
    fn least_parameters(&self) -> i64 {
        let widths = self.widths();
        let scaled: i64 = widths.windows(2).map(|pair| 16 * pair[0] * pair[1]).sum();
        2 * (self.residual_shape().parameters(self.channels) + scaled)
    }

    fn latent_norm(&self) -> Option<NormKind> {
        Some(self.latent_norm)
    }
}

#[derive(Debug)]
struct VqVae {
    encoder: Encoder,
    decoder: Decoder,
    stride: [i64; 1],
    channels: i64,
    dim: i64,
}

impl Network for VqVae {
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError> {
        Ok(vec![quantize(0, self.encoder.forward(images, train))?])
    }

    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor {
        self.decoder.forward(&codes[0], train)
    }

    fn strides(&self) -> &[i64] {
        &self.stride
    }

    fn channels(&self) -> i64 {
        self.channels
    }

    fn dims(&self) -> Vec<i64> {
        vec![self.dim]
    }

    fn decoder_parts(&self) -> &'static [&'static str] {
        &["decoder"]
    }

    fn last_layer(&self) -> &Tensor {
        self.decoder.last_layer()
    }
}

/// Halvings, each but the last with normalisation and ReLU; residual blocks; an optional projection; normalisation.
#[derive(Debug)]
struct Encoder {
    halvings: Vec<(nn::Conv2D, Norm)>,
    residual: ResidualStack,
    project: Option<nn::Conv2D>,
    latent_norm: Norm,
}

impl Encoder {
    fn new(vs: &nn::Path, in_channels: i64, config: &VqVaeConfig) -> Self {
        let widths = config.widths();
        let before = std::iter::once(in_channels).chain(widths.iter().copied());
        let halving = |(step, (from, &to)): (usize, (i64, &i64))| {
            let norm = if step + 1 == widths.len() { NormKind::None } else { config.norm };
            (halve(vs / "down" / step, from, to), Norm::new(&(vs / "down_norm" / step), norm, to))
        };
        Self {
            halvings: before.zip(&widths).enumerate().map(halving).collect(),
            residual: ResidualStack::new(&(vs / "residual"), config.channels, config.residual_shape()),
            project: config.embed_dim.map(|dim| conv(vs / "project", config.channels, dim, 1)),
            latent_norm: Norm::new(&(vs / "latent_norm"), config.latent_norm, config.dim()),
        }
    }

    /// `[B, C, H, W]` to `[B, D, H / f, W / f]`.
    fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let mut x = images.shallow_clone();
        for (step, (halving, norm)) in self.halvings.iter().enumerate() {
            let x_in = if step == 0 { x } else { x.relu() };
            x = norm.forward(&x_in.apply(halving), train);
        }
        let x = self.residual.forward(x, train);
        let latents = match &self.project {
            Some(project) => x.relu().apply(project),
            None => x,
        };
        self.latent_norm.forward(&latents, train)
    }
}

/// An optional expansion; residual blocks; ReLU; doublings, each but the last with normalisation and ReLU.
#[derive(Debug)]
struct Decoder {
    expand: Option<nn::Conv2D>,
    residual: ResidualStack,
    doublings: Vec<(nn::ConvTranspose2D, Norm)>,
    output: Output,
}

impl Decoder {
    fn new(vs: &nn::Path, in_channels: i64, config: &VqVaeConfig) -> Self {
        let mut widths = config.widths();
        widths.reverse();
        let after = widths.iter().copied().skip(1).chain([in_channels]);
        let doubling = |(step, (&from, to)): (usize, (&i64, i64))| {
            let norm = if step + 1 == widths.len() { NormKind::None } else { config.norm };
            (double(vs / "up" / step, from, to), Norm::new(&(vs / "up_norm" / step), norm, to))
        };
        Self {
            expand: config.embed_dim.map(|dim| conv(vs / "expand", dim, config.channels, 3)),
            residual: ResidualStack::new(&(vs / "residual"), config.channels, config.residual_shape()),
            doublings: widths.iter().zip(after).enumerate().map(doubling).collect(),
            output: config.output,
        }
    }

    /// `[B, D, H / f, W / f]` to `[B, C, H, W]`.
    fn forward(&self, codes: &Tensor, train: bool) -> Tensor {
        let x = self.expand.as_ref().map_or_else(|| codes.shallow_clone(), |expand| codes.apply(expand));
        let mut x = self.residual.forward(x, train);
        for (doubling, norm) in &self.doublings {
            x = norm.forward(&x.relu().apply(doubling), train);
        }
        match self.output {
            Output::Linear => x,
            Output::Tanh => x.tanh(),
        }
    }

    fn last_layer(&self) -> &Tensor {
        &self.doublings[self.doublings.len() - 1].0.ws
    }
}
