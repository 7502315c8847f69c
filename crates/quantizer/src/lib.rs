//! Vector quantizers: latents to a finite set of codes and back, and the health of their codebooks.

use std::fmt;

use tch::Tensor;
use vqkit_torch::TokenGrid;

mod error;

pub use error::QuantizeError;

/// What [`Quantizer::quantize`] is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A training step, counted from 0.
    Train {
        /// The step, for schedules.
        step: u64,
    },
    /// Training of other parts, while the codebook keeps still.
    Frozen,
    /// Evaluation and use.
    Eval,
}

/// Maps latents to a finite set of codes and back.
pub trait Quantizer: fmt::Debug + Send {
    /// Gives the codebook its first values from a batch of latents `[B, D, *S]`; once, before the first step.
    ///
    /// # Errors
    /// When the latents do not have the shape the quantizer was built for.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError>;

    /// Latents `[B, D, *S]` to codes alike, indices `[B, Q, *S]` and losses; changes nothing.
    /// `mask` `[B, *S]`, bool: positions that are false are left out of losses and statistics.
    ///
    /// # Errors
    /// When the latents or the mask do not have the shape the quantizer was built for.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError>;

    /// Moves the codebook toward this batch; only the training loop calls it, after `quantize` of the same latents.
    ///
    /// # Errors
    /// As [`Quantizer::quantize`].
    fn update(&mut self, latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError>;

    /// The codes `[B, D, *S]` of a grid, as `quantize` returned them.
    ///
    /// # Errors
    /// When the grid was not written by a quantizer of these sizes.
    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError>;

    /// The number of codes `K` of each of the `Q` codebooks.
    fn sizes(&self) -> Vec<i64>;

    /// Width `D` of the latents.
    fn dim(&self) -> i64;
}

/// The result of [`Quantizer::quantize`].
#[derive(Debug)]
pub struct Quantized {
    /// Codes `[B, D, *S]`, with the gradient estimate of the member (straight-through).
    pub codes: Tensor,
    /// Indices `[B, Q, *S]`.
    pub grid: TokenGrid,
    /// The losses, scalars.
    pub losses: QuantizerLosses,
}

/// Unweighted scalars, each a mean over elements; zero where a member has no such term.
#[derive(Debug)]
pub struct QuantizerLosses {
    /// `||sg[z] - z_q||²`: moves only codes.
    pub codebook: Tensor,
    /// `||z - sg[z_q]||²`: moves only the encoder.
    pub commitment: Tensor,
    /// The weighted sum, ready to be added to a reconstruction loss.
    pub total: Tensor,
}
