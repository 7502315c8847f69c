//! Grids larger than those that a prior was trained on: the window of the grid, and of its condition grids, that the prior sees.

use vqkit_torch::TokenGrid;

use crate::{Autoregressive, Condition, GridSpec, PriorError, PriorSpec};

/// The window `[H, W]` of a trained grid on a larger one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    trained: [i64; 2],
    grid: [i64; 2],
    codebooks: i64,
    /// Windows begin at multiples of this, and so with a whole cell of every condition grid.
    step: [i64; 2],
}

/// A position of the grid, as the prior sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// Upper left cell of the window, row and column.
    pub origin: [i64; 2],
    /// Position inside the window.
    pub local: i64,
}

impl Windows {
    /// For a grid of `size`, or of the prior's own.
    pub(super) fn new(prior: &dyn Autoregressive, size: Option<[i64; 2]>) -> Result<Self, PriorError> {
        let spec = prior.spec();
        let (trained, grid) = (spec.target.grid, size.unwrap_or(spec.target.grid));
        let mut windows = Self { trained, grid, codebooks: spec.target.sizes.len() as i64, step: [1; 2] };
        if grid == trained {
            return Ok(windows);
        }
        if grid[0] < trained[0] || grid[1] < trained[1] {
            let reason =
                format!("must be at least the {} x {} tokens of the prior, got {grid:?}", trained[0], trained[1]);
            return Err(PriorError::config("size", reason));
        }
        for condition in &spec.condition_grids {
            for axis in [0, 1] {
                windows.step[axis] = least_common(windows.step[axis], stride(trained[axis], condition.grid[axis])?);
            }
        }
        if let Some(axis) = [0, 1].into_iter().find(|axis| grid[*axis] % windows.step[*axis] != 0) {
            let (step, got) = (windows.step[axis], grid[axis]);
            let reason = format!("must be a multiple of {step} tokens, each a cell of a condition grid, got {got}");
            return Err(PriorError::config("size", reason));
        }
        if prior.token_order().is_some_and(|order| !order.is_sorted()) {
            let reason =
                "only a prior that reads tokens in raster order draws grids larger than those it was trained on";
            return Err(PriorError::config("size", reason));
        }
        Ok(windows)
    }

    pub(super) fn grid(&self) -> [i64; 2] {
        self.grid
    }

    /// Number of positions: `H' · W' · Q`.
    pub(super) fn positions(&self) -> i64 {
        self.grid[0] * self.grid[1] * self.codebooks
    }

    /// The specification of a prior for the whole grid: its condition grids are larger in proportion.
    pub(super) fn whole(&self, spec: &PriorSpec) -> PriorSpec {
        let scaled = |condition: &GridSpec| GridSpec {
            sizes: condition.sizes.clone(),
            grid: [0, 1].map(|axis| condition.grid[axis] * self.grid[axis] / self.trained[axis]),
        };
        let condition_grids = spec.condition_grids.iter().map(scaled).collect();
        let target = GridSpec { grid: self.grid, ..spec.target.clone() };
        PriorSpec { target, condition_grids, ..spec.clone() }
    }

    /// The condition of the window at `origin`: its part of the condition of the whole grid.
    pub(super) fn part(
        &self,
        condition: &Condition,
        origin: [i64; 2],
        spec: &PriorSpec,
    ) -> Result<Condition, PriorError> {
        let mut part = condition.clone();
        for (grid, own) in part.grids.iter_mut().zip(&spec.condition_grids) {
            let first = [0, 1].map(|axis| origin[axis] * own.grid[axis] / self.trained[axis]);
            let rows = grid.indices.f_narrow(2, first[0], own.grid[0])?;
            *grid = TokenGrid { indices: rows.f_narrow(3, first[1], own.grid[1])?, sizes: grid.sizes.clone() };
        }
        Ok(part)
    }

    /// The window of a position, with the position as near to its middle as the borders and the condition grids allow.
    pub(super) fn view(&self, position: i64) -> View {
        let cell = position / self.codebooks;
        let at = [cell / self.grid[1], cell % self.grid[1]];
        let local = [0, 1].map(|axis| {
            let nearest = local(at[axis], self.trained[axis], self.grid[axis]);
            on_step(at[axis], nearest, self.trained[axis], self.step[axis])
        });
        View {
            origin: [at[0] - local[0], at[1] - local[1]],
            local: (local[0] * self.trained[1] + local[1]) * self.codebooks + position % self.codebooks,
        }
    }

    /// The positions of the grid that are the positions `first..last` of the window at `origin`.
    pub(super) fn positions_in(&self, origin: [i64; 2], first: i64, last: i64) -> Vec<i64> {
        let of = |local: i64| {
            let cell = local / self.codebooks;
            let at = [origin[0] + cell / self.trained[1], origin[1] + cell % self.trained[1]];
            (at[0] * self.grid[1] + at[1]) * self.codebooks + local % self.codebooks
        };
        (first..last).map(of).collect()
    }
}

/// As in the notebook `taming-transformers.ipynb` of taming-transformers, with the halves rounded down.
fn local(at: i64, trained: i64, length: i64) -> i64 {
    let (half, left) = (trained / 2, length - at);
    if at <= half {
        at
    } else if left < trained - half {
        trained - left
    } else {
        half
    }
}

/// The same position in the nearest window at or before this one that begins at a multiple of `step`, or in the one after where
/// that one does not reach the position.
fn on_step(at: i64, local: i64, trained: i64, step: i64) -> i64 {
    let origin = (at - local) / step * step;
    if at - origin < trained { at - origin } else { at - origin - step }
}

/// The number of tokens of a trained side for each cell of a condition grid's side; 1 where the condition grid is the finer one.
fn stride(trained: i64, condition: i64) -> Result<i64, PriorError> {
    if trained % condition == 0 {
        return Ok(trained / condition);
    }
    match condition % trained {
        0 => Ok(1),
        _ => {
            let reason = format!(
                "needs condition grids of which windows are whole parts, one has {condition} cells where the target has {trained}"
            );
            Err(PriorError::config("size", reason))
        }
    }
}

fn least_common(one: i64, other: i64) -> i64 {
    let (mut large, mut small) = (one.max(other), one.min(other));
    while small != 0 {
        (large, small) = (small, large % small);
    }
    one / large * other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_whole_places_of_condition_grids_and_hold_their_position() {
        for (trained, length, step) in [(8, 24, 2), (8, 16, 4), (8, 24, 8), (16, 48, 4), (6, 12, 3), (4, 12, 1)] {
            for at in 0..length {
                let local = on_step(at, local(at, trained, length), trained, step);
                let origin = at - local;
                assert!((0..trained).contains(&local) && origin % step == 0, "{at} of {length} by {step}");
                assert!(origin >= 0 && origin + trained <= length, "{at} of {length} by {step}: {origin}");
            }
        }
        assert_eq!(least_common(4, 6), 12);
        assert_eq!((stride(8, 2).unwrap(), stride(8, 16).unwrap(), stride(8, 8).unwrap()), (4, 1, 1));
        assert!(stride(8, 3).is_err());
    }

    #[test]
    fn every_position_is_inside_a_window_on_the_grid_and_near_its_middle() {
        for (trained, length) in [(1, 4), (2, 5), (3, 3), (3, 7), (4, 4), (4, 9), (16, 28)] {
            for at in 0..length {
                let local = local(at, trained, length);
                let origin = at - local;
                assert!((0..trained).contains(&local) && origin >= 0 && origin + trained <= length, "{at} {length}");
                let at_border = origin == 0 || origin == length - trained;
                assert!(local == trained / 2 || at_border, "{at} of {length} at {local} of {trained}");
            }
        }
    }

    /// Upstream: `if i <= 8: local_i = i; elif h - i < 8: local_i = 16 - (h - i); else: local_i = 8`, for 16 tokens.
    #[test]
    fn an_even_window_stands_where_upstream_puts_it() {
        for (at, length) in (16..40).flat_map(|length| (0..length).map(move |at| (at, length))) {
            let upstream = if at <= 8 {
                at
            } else if length - at < 8 {
                16 - (length - at)
            } else {
                8
            };
            assert_eq!(local(at, 16, length), upstream);
        }
    }
}
