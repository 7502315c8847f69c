//! Grids larger than those that a prior was trained on: which part of them it looks at.

use crate::{Prior, PriorError};

/// The window `[H, W]` of a trained grid on a larger one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    trained: [i64; 2],
    grid: [i64; 2],
    codebooks: i64,
}

/// A position of the grid, as the prior sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Upper left place of the window, row and column.
    pub origin: [i64; 2],
    /// Position inside the window.
    pub local: i64,
}

impl Windows {
    /// For a grid of `size`, or of the prior's own.
    pub(super) fn new(prior: &dyn Prior, size: Option<[i64; 2]>) -> Result<Self, PriorError> {
        let spec = prior.spec();
        let (trained, grid) = (spec.grid, size.unwrap_or(spec.grid));
        let windows = Self { trained, grid, codebooks: spec.sizes.len() as i64 };
        if grid == trained {
            return Ok(windows);
        }
        if grid[0] < trained[0] || grid[1] < trained[1] {
            let reason =
                format!("must be at least the {} x {} tokens of the prior, got {grid:?}", trained[0], trained[1]);
            return Err(PriorError::config("size", reason));
        }
        if !spec.condition_grids.is_empty() {
            let reason = "a prior that is conditioned on grids draws none that is larger than those it was trained on";
            return Err(PriorError::config("size", reason));
        }
        if prior.places().is_some_and(|places| !places.is_sorted()) {
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

    /// Where the prior sees a position: as near to the middle of its window as the borders allow.
    pub(super) fn seen(&self, position: i64) -> Seen {
        let place = position / self.codebooks;
        let at = [place / self.grid[1], place % self.grid[1]];
        let local = [0, 1].map(|axis| local(at[axis], self.trained[axis], self.grid[axis]));
        Seen {
            origin: [at[0] - local[0], at[1] - local[1]],
            local: (local[0] * self.trained[1] + local[1]) * self.codebooks + position % self.codebooks,
        }
    }

    /// The positions of the grid that stand at positions `first..last` of the window at `origin`.
    pub(super) fn positions_in(&self, origin: [i64; 2], first: i64, last: i64) -> Vec<i64> {
        let of = |local: i64| {
            let place = local / self.codebooks;
            let at = [origin[0] + place / self.trained[1], origin[1] + place % self.trained[1]];
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

#[cfg(test)]
mod tests {
    use super::*;

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
