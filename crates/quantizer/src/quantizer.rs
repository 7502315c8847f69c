//! The trait of all quantizers.

use std::fmt;

use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::{CodebookView, QuantizeError, Quantized};

/// The purpose of a call of [`Quantizer::quantize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A training step, counted from 0.
    Train {
        /// The step, for schedules.
        step: u64,
    },
    /// Training of other parts, while the codebook is frozen.
    Frozen,
    /// Evaluation and inference.
    Eval,
}

/// Maps latents to a finite set of codes and back.
pub trait Quantizer: fmt::Debug + Send {
    /// Initializes the codebook from a batch of latents `[B, D, *S]`; once, before the first step.
    ///
    /// A second call, or one on a restored codebook, does nothing.
    ///
    /// # Errors
    /// When the latents do not have the shape the quantizer was built for.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError>;

    /// Latents `[B, D, *S]` to codes `[B, D', *S]`, indices `[B, Q, *S]` and losses; changes nothing.
    /// `mask` `[B, *S]`, bool: positions that are false are left out of losses and statistics.
    ///
    /// # Errors
    /// When the latents or the mask do not have the shape the quantizer was built for.
    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError>;

    /// As [`quantize`](Quantizer::quantize), of sequences: latents `[B, L, D]` and mask `[B, L]` to codes `[B, L, D']` and indices
    /// `[B, Q, L]`. [`update`](Quantizer::update) takes `latents.transpose(1, 2)` with it.
    ///
    /// # Errors
    /// As [`Quantizer::quantize`].
    fn quantize_sequence(
        &self,
        latents: &Tensor,
        mask: Option<&Tensor>,
        mode: Mode,
    ) -> Result<Quantized, QuantizeError> {
        let quantized = self.quantize(&channel_first(latents)?, mask, mode)?;
        Ok(Quantized { codes: quantized.codes.transpose(1, 2), ..quantized })
    }

    /// Updates the codebook with this batch; only the training loop calls it, after `quantize` of the same latents.
    ///
    /// # Errors
    /// As [`Quantizer::quantize`].
    fn update(&mut self, latents: &Tensor, quantized: &Quantized) -> Result<(), QuantizeError>;

    /// The codes `[B, D', *S]`, f32, of a grid, as `quantize` returned them.
    ///
    /// Waits for the device once per codebook, to check the range of the indices.
    ///
    /// # Errors
    /// When the grid was not written by a quantizer of these sizes.
    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError>;

    /// The codes of each of the `Q` codebooks, for inspection; a quantizer that [keeps none](Quantizer::has_tables)
    /// computes them for this call.
    fn codebooks(&self) -> Vec<CodebookView>;

    /// Whether tables of codes are kept, so that codes can be dead or duplicates; otherwise a rule gives them.
    fn has_tables(&self) -> bool {
        true
    }

    /// The number of codes `K` of each of the `Q` codebooks.
    fn codebook_sizes(&self) -> Vec<i64>;

    /// Width `D` of the latents.
    fn dim(&self) -> i64;

    /// Width `D'` of the codes; that of the latents, if a member does not say otherwise.
    fn code_dim(&self) -> i64 {
        self.dim()
    }
}

/// Sequences `[B, L, D]` as `[B, D, L]`.
fn channel_first(latents: &Tensor) -> Result<Tensor, QuantizeError> {
    if latents.dim() == 3 {
        return Ok(latents.transpose(1, 2));
    }
    Err(QuantizeError::Shape { what: "latents", want: "[B, L, D]".into(), got: latents.size() })
}
