//! The part of a tokenizer with weights: encoder and decoder, which know no quantizer.

use std::fmt;

use tch::Tensor;

use crate::TokenizerError;

/// What a network calls with each level's latents `[B, D, H, W]`, coarse first, to have them replaced by codes.
pub type Quantize<'a> = dyn FnMut(usize, Tensor) -> Result<Tensor, TokenizerError> + 'a;

/// An encoder to one or more levels of latents, and the decoder from all of them.
///
/// The encoder hands each level over to be quantized, so that a finer level can be computed from the coarser codes.
pub trait Network: fmt::Debug + Send {
    /// Images `[B, C, H, W]` to codes `[B, D, h, w]` of every level, coarse first; `train` is for normalisation and dropout.
    ///
    /// # Errors
    /// Those of `quantize`.
    fn encode(&self, images: &Tensor, train: bool, quantize: &mut Quantize) -> Result<Vec<Tensor>, TokenizerError>;

    /// Codes `[B, D, h, w]` of every level, coarse first, to images `[B, C', H, W]`.
    fn decode(&self, codes: &[Tensor], train: bool) -> Tensor;

    /// By how much each level is coarser than the image, coarse first.
    fn strides(&self) -> &[i64];

    /// Channels `C` of the images.
    fn channels(&self) -> i64;

    /// Channels `C'` of what the decoder gives; the images', if a member does not say otherwise.
    fn out_channels(&self) -> i64 {
        self.channels()
    }

    /// Width `D` of every level's latents, coarse first.
    fn dims(&self) -> Vec<i64>;

    /// What the names of the decoder's variables begin with, up to the first dot; all others are needed to encode.
    fn decoder_parts(&self) -> &'static [&'static str];

    /// The weight of the decoder's last convolution, at which the gradients of two losses are compared
    /// (Esser et al. 2021, equation 7).
    fn last_layer(&self) -> &Tensor;
}
