//! Learned positions of one sequence as those of another, whose grids have other sizes.

use tch::{Kind, Tensor, no_grad};

use super::layout::Layout;
use super::order::TokenOrder;
use crate::{GridSpec, PriorError, PriorSpec};

/// The learned positions `[1, S, D]` of a prior for `theirs` as `rows` positions of a prior for `ours`; both predict
/// their grids in the same order.
///
/// The target's positions are interpolated bilinearly over its grid, each codebook's by themselves, and those of every
/// condition grid over that grid. Class, text and embedding keep theirs. No token is predicted after the last one of a
/// sequence, which therefore has no position; for the interpolation it takes that of the token before it. Rows beyond
/// the sequence are zero, as they start.
///
/// # Errors
/// [`PriorError::Config`] where the conditions are of other kinds or lengths.
pub(super) fn interpolated(
    positions: &Tensor,
    (theirs, ours): (&PriorSpec, &PriorSpec),
    order: TokenOrder,
    rows: i64,
) -> Result<Tensor, PriorError> {
    let [from, to] = [Layout::new(theirs, order)?, Layout::new(ours, order)?];
    check(&from, &to)?;
    no_grad(|| {
        let positions = positions.f_squeeze_dim(0)?;
        let width = positions.size()[1];
        let words = from.before_text() + from.text + from.embedding;
        let mut parts = vec![positions.f_narrow(0, 0, words)?];
        let mut first = words;
        for (old, new) in theirs.condition_grids.iter().zip(&ours.condition_grids) {
            parts.push(resized(&positions.f_narrow(0, first, old.tokens())?, old, new)?);
            first += old.tokens();
        }
        parts.push(of_target(&positions.f_narrow(0, first, from.tokens() - 1)?, (&from, theirs), (&to, ours))?);
        let all = Tensor::f_cat(&parts, 0)?;
        let rest = Tensor::f_zeros([(rows - all.size()[0]).max(0), width], (all.kind(), all.device()))?;
        Ok(Tensor::f_cat(&[all, rest], 0)?.f_unsqueeze(0)?)
    })
}

fn check(from: &Layout, to: &Layout) -> Result<(), PriorError> {
    let counts = |layout: &Layout| {
        [
            ("codebooks", layout.codebooks),
            ("positions of a class", layout.before_text()),
            ("positions of a text", layout.text),
            ("positions of an embedding", layout.embedding),
            ("condition grids", layout.grids.len() as i64),
        ]
    };
    match counts(from).into_iter().zip(counts(to)).find(|(old, new)| old != new) {
        None => Ok(()),
        Some(((what, old), (_, new))) => {
            Err(PriorError::config("block_size", format!("the learned positions are for {old} {what}, not for {new}")))
        }
    }
}

/// The positions `[N - 1, D]` of all tokens but the last, in the order of the sequence.
fn of_target(
    positions: &Tensor,
    (from, theirs): (&Layout, &PriorSpec),
    (to, ours): (&Layout, &PriorSpec),
) -> Result<Tensor, PriorError> {
    let width = positions.size()[1];
    let books = from.codebooks;
    let last = match positions.size()[0] {
        0 => Tensor::f_zeros([1, width], (positions.kind(), positions.device()))?,
        count => positions.f_narrow(0, count - 1, 1)?,
    };
    let sequence = Tensor::f_cat(&[positions, &last], 0)?.f_view([-1, books * width])?;
    let raster = sequence.f_index_select(0, &from.index(positions.device()).f_argsort(0, false)?)?;
    let raster = resized(&raster.f_view([-1, width])?, &theirs.target, &ours.target)?;
    let sequence = raster.f_view([-1, books * width])?.f_index_select(0, &to.index(positions.device()))?;
    Ok(sequence.f_reshape([-1, width])?.f_narrow(0, 0, to.tokens() - 1)?)
}

/// The positions `[H · W · Q, D]` of a grid in raster order as those of another grid.
fn resized(positions: &Tensor, old: &GridSpec, new: &GridSpec) -> Result<Tensor, PriorError> {
    if old.grid == new.grid {
        return Ok(positions.shallow_clone());
    }
    let [height, width] = old.grid;
    let channels = positions.numel() as i64 / (height * width);
    let image = positions.f_reshape([1, height, width, channels])?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
    let image = image.f_upsample_bilinear2d(new.grid, false, None, None)?.f_to_kind(positions.kind())?;
    Ok(image.f_permute([0, 2, 3, 1])?.f_reshape([-1, positions.size()[1]])?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    const WIDTH: i64 = 3;

    fn spec(side: i64) -> PriorSpec {
        let condition = GridSpec { sizes: vec![5], grid: [side / 2, side] };
        PriorSpec::new(vec![7], [side, side]).with_classes(4).with_condition_grid(condition)
    }

    fn length(spec: &PriorSpec) -> i64 {
        Layout::new(spec, TokenOrder::Raster).unwrap().length()
    }

    /// Row and column, in the middle of cells, as shares of the grid, and the number of the row.
    fn ramp(spec: &PriorSpec, order: TokenOrder) -> Tensor {
        let layout = Layout::new(spec, order).unwrap();
        let share = |cell: i64, side: i64| (cell as f32 + 0.5) / side as f32;
        let mut rows = vec![[9.0, 8.0, 7.0]];
        let [height, width] = spec.condition_grids[0].grid;
        rows.extend((0..height * width).map(|cell| [share(cell / width, height), share(cell % width, width), 2.0]));
        let [height, width] = spec.target.grid;
        rows.extend(layout.order.iter().map(|cell| [share(cell / width, height), share(cell % width, width), 1.0]));
        let flat: Vec<f32> = rows.concat();
        Tensor::from_slice(&flat).view([1, -1, WIDTH]).narrow(1, 0, layout.length())
    }

    #[test]
    fn positions_of_the_same_grids_stay_as_they_are() {
        for order in [TokenOrder::Raster, TokenOrder::SpiralIn] {
            let spec = spec(4);
            let positions = Tensor::randn([1, length(&spec), WIDTH], (Kind::Float, Device::Cpu));
            assert_eq!(interpolated(&positions, (&spec, &spec), order, length(&spec)).unwrap(), positions);
        }
    }

    #[test]
    fn a_ramp_over_a_grid_is_the_same_ramp_over_a_larger_one() {
        for order in [TokenOrder::Raster, TokenOrder::Alternate, TokenOrder::ZCurve] {
            let (small, large) = (spec(4), spec(8));
            let made = interpolated(&ramp(&small, order), (&small, &large), order, length(&large) + 2).unwrap();
            let wanted = ramp(&large, order);
            assert_eq!(made.size(), [1, length(&large) + 2, WIDTH]);
            assert_eq!(made.narrow(1, length(&large), 2).abs().max().double_value(&[]), 0.0, "{order:?}: spare rows");
            assert_eq!(made.get(0).get(0), wanted.get(0).get(0), "{order:?}: the class");
            // Beyond the centres of the outer cells nothing is known, and what is nearest is taken; the last cell of a
            // sequence has no position of its own.
            let within = |share: &Tensor| share.ge(0.1251).logical_and(&share.le(0.6251));
            let inner = within(&wanted.get(0).select(1, 0)).logical_and(&within(&wanted.get(0).select(1, 1)));
            let apart = (made.narrow(1, 0, length(&large)) - &wanted).abs().get(0).amax([1].as_slice(), false);
            assert!((apart * inner.to_kind(Kind::Float)).max().double_value(&[]) < 1e-6, "{order:?}");
            assert!(inner.sum(Kind::Int64).int64_value(&[]) > 16);
        }
    }

    #[test]
    fn codebooks_of_a_cell_are_interpolated_each_by_itself() {
        let of = |side: i64| PriorSpec::new(vec![7, 7], [side, side]);
        let (small, large) = (of(2), of(4));
        let books = Tensor::arange(length(&small), (Kind::Float, Device::Cpu)).remainder(2) * 2.0 - 1.0;
        // The sequence starts with one position in front of the tokens.
        let positions = books.view([1, -1, 1]);
        let made = interpolated(&positions, (&small, &large), TokenOrder::Raster, length(&large)).unwrap();
        let inner = made.get(0).select(1, 0).narrow(0, 1, 8);
        let wanted = Tensor::arange(8, (Kind::Float, Device::Cpu)).remainder(2) * -2.0 + 1.0;
        assert_eq!(inner, wanted);
    }

    #[test]
    fn other_kinds_of_conditions_are_refused() {
        let (theirs, ours) = (spec(4), spec(4).with_text(6, 9));
        let positions = Tensor::zeros([1, length(&theirs), WIDTH], (Kind::Float, Device::Cpu));
        let refused = interpolated(&positions, (&theirs, &ours), TokenOrder::Raster, length(&ours));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("for 0 positions of a text, not for 6"), "{message}");
    }
}
