//! What a quantizer answers: codes, tokens and losses.

use tch::Tensor;
use vqkit_torch::TokenGrid;

/// The result of [`Quantizer::quantize`](crate::Quantizer::quantize).
#[derive(Debug)]
pub struct Quantized {
    /// Codes `[B, D', *S]`, f32, with the gradient estimate of the member.
    pub codes: Tensor,
    /// Indices `[B, Q, *S]`.
    pub grid: TokenGrid,
    /// The losses, scalars.
    pub losses: QuantizerLosses,
    /// The mask `[B, *S]` that was given: [`update`](crate::Quantizer::update) leaves the same positions out.
    pub mask: Option<Tensor>,
}

/// Scalars, f32; each term is a mean over elements, and zero where a member has no such term.
#[derive(Debug)]
pub struct QuantizerLosses {
    /// `||sg[z] - z_q||²`, unweighted: moves only codes.
    pub codebook: Tensor,
    /// `||z - sg[z_q]||²`, unweighted: moves only the encoder.
    pub commitment: Tensor,
    /// The weighted sum, with any term of a single member's own, ready to be added to a reconstruction loss.
    pub total: Tensor,
}
