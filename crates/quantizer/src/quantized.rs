//! What a quantizer answers: codes, tokens and losses; and its codebooks, to look at.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::QuantizeError;

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
    /// What the quantizers inside made of their share, in the order of the codebooks, where a member is made of others.
    pub parts: Vec<Quantized>,
}

impl Quantized {
    /// This batch and the next as one, outside of any graph, with the losses of this one.
    ///
    /// # Errors
    /// When the two are not of one quantizer.
    pub fn join(self, next: &Self) -> Result<Self, QuantizeError> {
        let cat = |one: &Tensor, other: &Tensor| Tensor::f_cat(&[one.detach(), other.detach()], 0);
        let mask = match (&self.mask, &next.mask) {
            (Some(one), Some(other)) => Some(cat(one, other)?),
            _ => None,
        };
        let grid = TokenGrid::new(cat(&self.grid.indices, &next.grid.indices)?, self.grid.sizes.clone())?;
        let parts = self.parts.into_iter().zip(&next.parts).map(|(one, other)| one.join(other));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { codes: cat(&self.codes, &next.codes)?, grid, mask, losses: self.losses, parts })
    }
}

/// Scalars, f32; each term is a mean over elements, and zero where a member has no such term.
#[derive(Debug)]
pub struct QuantizerLosses {
    /// `||sg[z] - z_q||²`, unweighted: moves only codes.
    pub codebook: Tensor,
    /// `||z - sg[z_q]||²`, unweighted: moves only the encoder.
    pub commitment: Tensor,
    /// How unsure the choice of codes is, less how many codes are chosen, in nats, unweighted.
    pub entropy: Tensor,
    /// The weighted sum, with any term of a single member's own, ready to be added to a reconstruction loss.
    pub total: Tensor,
}

impl QuantizerLosses {
    /// No term at all.
    pub(crate) fn none(device: Device) -> Self {
        let zero = || Tensor::zeros([0i64; 0], (Kind::Float, device));
        Self { codebook: zero(), commitment: zero(), entropy: zero(), total: zero() }
    }
}

/// One codebook as it is now, outside of any graph.
#[derive(Debug)]
pub struct CodebookView {
    /// What [`lookup`](crate::Quantizer::lookup) would give for each index, before any projection, `[K, D]`, f32.
    pub codes: Tensor,
    /// Updates since each code was last used, `[K]`, f32, where the member keeps count.
    pub ages: Option<Tensor>,
}

/// The indices `[B, *S]` of a grid that has one codebook of `size` codes, in range.
pub(crate) fn one_codebook(grid: &TokenGrid, size: i64) -> Result<Tensor, QuantizeError> {
    if grid.sizes != [size] {
        let want = format!("indices of one codebook of {size} codes");
        return Err(QuantizeError::Shape { what: "grid", want, got: grid.sizes.clone() });
    }
    grid.check_range()?;
    Ok(grid.indices.select(1, 0))
}
