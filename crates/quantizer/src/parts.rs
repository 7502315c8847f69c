//! What members that are made of other quantizers share: their grids side by side, and their losses together.

use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::quantized::{Part, check_parts};
use crate::{QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// The grids `[B, Q_i, *S]` of all parts as one `[B, Q, *S]`.
pub(crate) fn join_grids(parts: &[Part]) -> Result<TokenGrid, QuantizeError> {
    let indices: Vec<_> = parts.iter().map(|part| &part.quantized.grid.indices).collect();
    let sizes = parts.iter().flat_map(|part| part.quantized.grid.sizes.iter().copied()).collect();
    Ok(TokenGrid::new(Tensor::f_cat(&indices, 1)?, sizes)?)
}

/// A grid `[B, Q, *S]` as the grids of the quantizers that it was joined of.
pub(crate) fn split_grid(grid: &TokenGrid, quantizers: &[Box<dyn Quantizer>]) -> Result<Vec<TokenGrid>, QuantizeError> {
    let sizes: Vec<Vec<i64>> = quantizers.iter().map(|quantizer| quantizer.sizes()).collect();
    if grid.sizes != sizes.concat() {
        let want = format!("indices of codebooks of {:?} codes", sizes.concat());
        return Err(QuantizeError::Shape { what: "grid", want, got: grid.sizes.clone() });
    }
    let numbers: Vec<_> = sizes.iter().map(|sizes| sizes.len() as i64).collect();
    let indices = grid.indices.f_split_with_sizes(numbers, 1)?;
    indices.into_iter().zip(sizes).map(|(indices, sizes)| Ok(TokenGrid::new(indices, sizes)?)).collect()
}

/// Every term of the parts' losses, brought together by `join` of a tensor `[parts]`.
pub(crate) fn join_losses(parts: &[Part], join: impl Fn(Tensor) -> Tensor) -> QuantizerLosses {
    let joined = |term: fn(&QuantizerLosses) -> &Tensor| {
        join(Tensor::stack(&parts.iter().map(|part| term(&part.quantized.losses)).collect::<Vec<_>>(), 0))
    };
    QuantizerLosses {
        codebook: joined(|losses| &losses.codebook),
        commitment: joined(|losses| &losses.commitment),
        entropy: joined(|losses| &losses.entropy),
        total: joined(|losses| &losses.total),
    }
}

/// Updates every quantizer by its part.
pub(crate) fn update_parts(quantizers: &mut [Box<dyn Quantizer>], of: &Quantized) -> Result<(), QuantizeError> {
    check_parts(quantizers.len(), &of.parts)?;
    let mut pairs = quantizers.iter_mut().zip(&of.parts);
    pairs.try_for_each(|(quantizer, part)| quantizer.update(&part.latents, &part.quantized))
}
