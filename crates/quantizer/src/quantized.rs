//! Results of a quantizer: codes, tokens and losses; and views of its codebooks.

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
    /// Inputs and results of the inner quantizers, in the order of the codebooks, where a quantizer contains others.
    pub inner: Vec<InnerQuantized>,
}

/// Input and result of one quantizer inside another.
#[derive(Debug)]
pub struct InnerQuantized {
    /// Its input: latents `[B, D_i, *S]`, detached.
    pub latents: Tensor,
    /// Its result.
    pub quantized: Quantized,
}

impl Quantized {
    /// The result of a quantizer that contains no others.
    pub(crate) fn new(codes: Tensor, grid: TokenGrid, losses: QuantizerLosses, mask: Option<&Tensor>) -> Self {
        Self { codes, grid, losses, mask: mask.map(Tensor::shallow_clone), inner: Vec::new() }
    }

    /// This batch and the next as one, detached, with the losses of this one.
    ///
    /// # Errors
    /// When the two are not of one quantizer, or one of them alone has a mask.
    pub fn join(self, next: &Self) -> Result<Self, QuantizeError> {
        let mask = match (&self.mask, &next.mask) {
            (Some(one), Some(other)) => Some(joined(one, other)?),
            (None, None) => None,
            (Some(mask), None) | (None, Some(mask)) => {
                return Err(QuantizeError::Shape {
                    what: "mask",
                    want: "one for both or for none".into(),
                    got: mask.size(),
                });
            }
        };
        check_inner(self.inner.len(), &next.inner)?;
        let grid = TokenGrid::new(joined(&self.grid.indices, &next.grid.indices)?, self.grid.sizes.clone())?;
        let inner = self.inner.into_iter().zip(&next.inner).map(|(one, other)| one.join(other));
        let inner = inner.collect::<Result<_, _>>()?;
        Ok(Self { codes: joined(&self.codes, &next.codes)?, grid, mask, losses: self.losses, inner })
    }
}

impl InnerQuantized {
    fn join(self, next: &Self) -> Result<Self, QuantizeError> {
        Ok(Self { latents: joined(&self.latents, &next.latents)?, quantized: self.quantized.join(&next.quantized)? })
    }
}

fn joined(one: &Tensor, other: &Tensor) -> Result<Tensor, QuantizeError> {
    Ok(Tensor::f_cat(&[one.detach(), other.detach()], 0)?)
}

/// Whether there is one result for each quantizer inside.
pub(crate) fn check_inner(quantizers: usize, inner: &[InnerQuantized]) -> Result<(), QuantizeError> {
    if inner.len() == quantizers {
        return Ok(());
    }
    let want = format!("[{quantizers}], one for each quantizer inside");
    Err(QuantizeError::Shape { what: "inner", want, got: vec![inner.len() as i64] })
}

/// Scalars, f32; each term is a mean over elements, and zero where a member has no such term.
#[derive(Debug)]
pub struct QuantizerLosses {
    /// `||sg[z] - z_q||²`, unweighted: its gradient reaches only the codes.
    pub codebook: Tensor,
    /// `||z - sg[z_q]||²`, unweighted: its gradient reaches only the encoder.
    pub commitment: Tensor,
    /// Mean entropy of the soft assignments minus the entropy of their mean, in nats, unweighted.
    pub entropy: Tensor,
    /// The weighted sum, including terms that only one quantizer has, ready to be added to a reconstruction loss.
    pub total: Tensor,
}

impl QuantizerLosses {
    /// No term at all.
    pub(crate) fn none(device: Device) -> Self {
        let zero = || Tensor::zeros([0i64; 0], (Kind::Float, device));
        Self { codebook: zero(), commitment: zero(), entropy: zero(), total: zero() }
    }
}

/// One codebook, detached; where a quantizer keeps a table, a view of it, which later updates change.
#[derive(Debug)]
pub struct CodebookView {
    /// What [`lookup`](crate::Quantizer::lookup) would give for each index, before any projection, `[K, D]`, f32.
    pub codes: Tensor,
    /// Updates since each code was last used, `[K]`, f32, where the member keeps count.
    pub ages: Option<Tensor>,
}

/// The indices `[B, *S]` of a grid that has one codebook of `size` codes, in range.
pub(crate) fn one_codebook(grid: &TokenGrid, size: i64) -> Result<Tensor, QuantizeError> {
    check_grid(grid, &[size])?;
    Ok(grid.indices.select(1, 0))
}

/// Checks that a grid has codebooks of `sizes` codes, and that its indices are in range.
pub(crate) fn check_grid(grid: &TokenGrid, sizes: &[i64]) -> Result<(), QuantizeError> {
    if grid.sizes != sizes {
        let want = match sizes {
            [size] => format!("indices of one codebook of {size} codes"),
            _ => format!("indices of codebooks of {sizes:?} codes"),
        };
        return Err(QuantizeError::Shape { what: "grid", want, got: grid.sizes.clone() });
    }
    Ok(grid.check_range()?)
}
