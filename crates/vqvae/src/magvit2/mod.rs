//! The image tokenizer of Open-MAGVIT2 (Luo et al. 2024, "Open-MAGVIT2: An Open-Source Project Toward Democratizing
//! Auto-regressive Visual Generation"), as in TencentARC's SEED-Voken,
//! `src/Open_MAGVIT2/modules/diffusionmodules/improved_model.py`: `Encoder`, `Decoder`.

mod config;
mod decoder;

use tch::{Tensor, nn};
use vqkit_quantizer::QuantizerConfig;

pub use config::Magvit2Config;

use crate::bias_free::Encoder;
use crate::layers::laid_out;
use crate::member::Member;
use crate::network::{Network, Quantize};
use crate::{Tokenizer, TokenizerError};
use decoder::Decoder;

impl Magvit2Config {
    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs` under upstream's names,
    /// `encoder` and `decoder`, and those of the quantizer, if it has any, under `quantize`.
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
        let network = Magvit2 {
            encoder: Encoder::new(&(vs / "encoder"), in_channels, &self.encoder()),
            decoder: Decoder::new(&(vs / "decoder"), out_channels, self),
            stride: [self.stride()],
            channels: in_channels,
            out_channels,
            z_channels: self.z_channels,
        };
        Tokenizer::new(Box::new(network), vs, quantizer, &["quantize"])
    }
}

#[derive(Debug)]
struct Magvit2 {
    encoder: Encoder,
    decoder: Decoder,
    stride: [i64; 1],
    channels: i64,
    out_channels: i64,
    z_channels: i64,
}

impl Network for Magvit2 {
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError> {
        Ok(vec![quantize(0, self.encoder.forward(&laid_out(images), train))?])
    }

    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor {
        self.decoder.forward(&laid_out(&codes[0]), train)
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
        vec![self.z_channels]
    }

    fn decoder_parts(&self) -> &'static [&'static str] {
        &["decoder"]
    }

    fn last_layer(&self) -> &Tensor {
        self.decoder.last_layer()
    }
}
