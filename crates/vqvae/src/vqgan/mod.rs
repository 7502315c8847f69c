//! The autoencoder of VQGAN (Esser et al. 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1), as in
//! taming-transformers; its adversarial and perceptual losses are the training's.

mod blocks;
mod config;
mod decoder;
mod encoder;
mod norm;

use tch::{Tensor, nn};
use vqkit_quantizer::QuantizerConfig;

pub use config::VqganConfig;
pub use norm::DecoderNorm;

use crate::layers::{conv, laid_out};
use crate::member::Member;
use crate::network::{Network, Quantize};
use crate::{Tokenizer, TokenizerError};
use decoder::Decoder;
use encoder::Encoder;
use norm::Pass;

impl VqganConfig {
    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs` under upstream's names:
    /// `encoder`, `decoder`, `quant_conv`, `post_quant_conv` and `quantize`.
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
        self.check_images(in_channels)?;
        let out_channels = self.out_ch.unwrap_or(in_channels);
        let network = Vqgan {
            encoder: Encoder::new(&(vs / "encoder"), in_channels, self),
            decoder: Decoder::new(&(vs / "decoder"), out_channels, self),
            quant_conv: conv(vs / "quant_conv", self.z_channels, self.embed_dim, 1),
            post_quant_conv: conv(vs / "post_quant_conv", self.embed_dim, self.z_channels, 1),
            stride: [self.stride()],
            channels: in_channels,
            out_channels,
            embed_dim: self.embed_dim,
        };
        Tokenizer::new(Box::new(network), vs, quantizer, &["quantize"])
    }
}

#[derive(Debug)]
struct Vqgan {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: nn::Conv2D,
    post_quant_conv: nn::Conv2D,
    stride: [i64; 1],
    channels: i64,
    out_channels: i64,
    embed_dim: i64,
}

impl Network for Vqgan {
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError> {
        Ok(vec![quantize(0, self.encoder.forward(&laid_out(images), train).apply(&self.quant_conv))?])
    }

    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor {
        let codes = laid_out(&codes[0]);
        let pass = Pass { train, codes: Some(&codes) };
        self.decoder.forward(&codes.apply(&self.post_quant_conv), pass)
    }

    fn strides(&self) -> &[i64] {
        &self.stride
    }

    fn channels(&self) -> i64 {
        self.channels
    }

    fn out_channels(&self) -> i64 {
        self.out_channels
    }

    fn dims(&self) -> Vec<i64> {
        vec![self.embed_dim]
    }

    fn decoder_parts(&self) -> &'static [&'static str] {
        &["decoder", "post_quant_conv"]
    }

    fn last_layer(&self) -> &Tensor {
        self.decoder.last_layer()
    }
}
