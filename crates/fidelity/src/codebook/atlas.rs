//! The atlas of a codebook: for each code, the image that the decoder gives for a grid filled with that code.

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_run::{Context, RgbImage};
use vqkit_torch::{TokenGrid, Tokens};
use vqkit_vqvae::Tokenizer;

use crate::{codebook::usage::CodebookId, error::Result};

/// Largest number of codes that are shown.
const MOST_CELLS: i64 = 256;
/// Images that are decoded at a time.
const BATCH: i64 = 32;
/// Side of the coarsest level's grid, large enough that its inner positions are not affected by the border.
const SIDE: i64 = 4;
/// Cells are enlarged to at least this many pixels.
const CELL: u32 = 48;

/// Codes of one codebook, decoded one by one, while every other codebook has its most used code.
///
/// # Shapes
/// `counts`: of every level and codebook, `[K]`, i64, where they are known; then the most used codes come first.
///
/// # Errors
/// When the decoder refuses.
pub fn atlas(
    tokenizer: &Tokenizer,
    place: CodebookId,
    counts: Option<&[Vec<Tensor>]>,
    context: &Context,
) -> Result<RgbImage> {
    let sizes = tokenizer.codebook_sizes();
    let size = sizes[place.level][place.codebook];
    let shown = order(counts.map(|counts| &counts[place.level][place.codebook]), size)?.to_device(context.device);
    let shapes = tokenizer.grid_shapes(SIDE * tokenizer.downsampling())?;
    let mut cells = Vec::new();
    for start in (0..shown.size()[0]).step_by(BATCH as usize) {
        context.interrupt.check()?;
        let codes = shown.narrow(0, start, BATCH.min(shown.size()[0] - start));
        let grids = sizes.iter().zip(&shapes).enumerate().map(|(level, (sizes, shape))| {
            let held = |codebook: usize| held(counts.map(|counts| &counts[level][codebook]));
            let of_codebook = |codebook: usize| match (CodebookId { level, codebook }) == place {
                true => Ok(codes.shallow_clone()),
                false => Ok(codes.full_like(held(codebook)?)),
            };
            let rows = (0..sizes.len()).map(of_codebook).collect::<Result<Vec<_>>>()?;
            let columns = Tensor::f_stack(&rows, 1)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
            let indices = columns.f_expand([-1, -1, shape[0], shape[1]], false)?.f_contiguous()?;
            Ok(TokenGrid::new(indices, sizes.clone())?)
        });
        let tokens: Tokens = grids.collect::<Result<_>>()?;
        cells.extend(RgbImage::from_batch(&no_grad(|| tokenizer.decode(&tokens))?));
    }
    let width = cells.first().map_or(CELL, |cell| cell.size().0).max(1);
    let enlarged: Vec<RgbImage> = cells.iter().map(|cell| cell.enlarged(CELL.div_ceil(width))).collect();
    Ok(RgbImage::grid(&enlarged, (enlarged.len() as f64).sqrt().ceil() as usize))
}

/// The codes to show, the most used first, `[N]`.
fn order(counts: Option<&Tensor>, size: i64) -> Result<Tensor> {
    let all = match counts {
        None => Tensor::arange(size, (Kind::Int64, Device::Cpu)),
        Some(counts) => counts.f_argsort_stable(true, -1, true)?,
    };
    Ok(all.narrow(0, 0, size.min(MOST_CELLS)))
}

/// The most used code; the first where that is not known.
fn held(counts: Option<&Tensor>) -> Result<i64> {
    Ok(counts.map_or(Ok(0), |counts| counts.f_argmax(0, false)?.f_int64_value(&[]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_used_codes_come_first_and_not_more_than_fit() {
        let counts = Tensor::from_slice(&[1i64, 7, 0, 7]);
        assert_eq!(Vec::<i64>::try_from(order(Some(&counts), 4).unwrap()).unwrap(), [1, 3, 0, 2]);
        assert_eq!(held(Some(&counts)).unwrap(), 1);
        assert_eq!(order(None, 5000).unwrap().size(), [MOST_CELLS]);
    }
}
