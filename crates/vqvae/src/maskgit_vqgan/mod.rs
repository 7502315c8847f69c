//! The tokenizer of MaskGIT (Chang et al. 2022, "MaskGIT: Masked Generative Image Transformer"), as in bytedance's
//! 1d-tokenizer, `modeling/modules/maskgit_vqgan.py`: `Encoder`, `Decoder`. RAR and the first stage of TiTok use it too.
//!
//! Upstream's images are in `[0, 1]`, ours in `[-1, 1]`: the network maps one to the other on the way in and out.

mod config;
mod decoder;

use tch::{Tensor, nn};
use vqkit_quantizer::QuantizerConfig;

pub use config::MaskgitVqganConfig;

use crate::bias_free::Encoder;
use crate::layers::laid_out;
use crate::member::Member;
use crate::network::{Network, Quantize};
use crate::{Tokenizer, TokenizerError};
use decoder::Decoder;

impl MaskgitVqganConfig {
    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs` under upstream's names:
    /// `encoder`, `decoder` and `quantize`.
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
        let network = MaskgitVqgan {
            encoder: Encoder::new(&(vs / "encoder"), in_channels, &self.encoder()),
            decoder: Decoder::new(&(vs / "decoder"), in_channels, self),
            stride: [self.stride()],
            channels: in_channels,
            z_channels: self.z_channels,
        };
        Tokenizer::new(Box::new(network), vs, quantizer, &["quantize"])
    }
}

#[derive(Debug)]
struct MaskgitVqgan {
    encoder: Encoder,
    decoder: Decoder,
    stride: [i64; 1],
    channels: i64,
    z_channels: i64,
}

impl Network for MaskgitVqgan {
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError> {
        let images = (laid_out(images) + 1.0) / 2.0;
        Ok(vec![quantize(0, self.encoder.forward(&images, train))?])
    }

    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor {
        self.decoder.forward(&laid_out(&codes[0]), train) * 2.0 - 1.0
    }

    fn strides(&self) -> &[i64] {
        &self.stride
    }

    fn channels(&self) -> i64 {
        self.channels
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
