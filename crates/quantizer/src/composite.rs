//! Shared by quantizers that contain other quantizers: joining their grids and their losses.

use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::quantized::{InnerQuantized, check_inner};
use crate::{QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// The grids `[B, Q_i, *S]` of all quantizers inside as one `[B, Q, *S]`.
pub(crate) fn join_grids(inner: &[InnerQuantized]) -> Result<TokenGrid, QuantizeError> {
    let indices: Vec<_> = inner.iter().map(|inner| &inner.quantized.grid.indices).collect();
    let sizes = inner.iter().flat_map(|inner| inner.quantized.grid.sizes.iter().copied()).collect();
    Ok(TokenGrid::new(Tensor::f_cat(&indices, 1)?, sizes)?)
}

/// A grid `[B, Q, *S]` as the grids of the quantizers that it was joined of.
pub(crate) fn split_grid(grid: &TokenGrid, quantizers: &[Box<dyn Quantizer>]) -> Result<Vec<TokenGrid>, QuantizeError> {
    let sizes: Vec<Vec<i64>> = quantizers.iter().map(|quantizer| quantizer.codebook_sizes()).collect();
    if grid.sizes != sizes.concat() {
        let want = format!("indices of codebooks of {:?} codes", sizes.concat());
        return Err(QuantizeError::Shape { what: "grid", want, got: grid.sizes.clone() });
    }
    let numbers: Vec<_> = sizes.iter().map(|sizes| sizes.len() as i64).collect();
    let indices = grid.indices.f_split_with_sizes(numbers, 1)?;
    indices.into_iter().zip(sizes).map(|(indices, sizes)| Ok(TokenGrid::new(indices, sizes)?)).collect()
}

/// Joins every loss term of the inner quantizers with `join`, which gets a tensor with one number per quantizer.
pub(crate) fn join_losses(inner: &[InnerQuantized], join: impl Fn(Tensor) -> Tensor) -> QuantizerLosses {
    let joined = |term: fn(&QuantizerLosses) -> &Tensor| {
        join(Tensor::stack(&inner.iter().map(|inner| term(&inner.quantized.losses)).collect::<Vec<_>>(), 0))
    };
    QuantizerLosses {
        codebook: joined(|losses| &losses.codebook),
        commitment: joined(|losses| &losses.commitment),
        entropy: joined(|losses| &losses.entropy),
        total: joined(|losses| &losses.total),
    }
}

/// Updates every quantizer with its own result.
pub(crate) fn update_inner(quantizers: &mut [Box<dyn Quantizer>], of: &Quantized) -> Result<(), QuantizeError> {
    check_inner(quantizers.len(), &of.inner)?;
    let mut pairs = quantizers.iter_mut().zip(&of.inner);
    pairs.try_for_each(|(quantizer, inner)| quantizer.update(&inner.latents, &inner.quantized))
}
