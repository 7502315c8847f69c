//! The order in which a transformer predicts the positions of a grid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_torch::numpy;

use crate::PriorError;

/// The orders of taming-transformers (`permuter.py`); a sequence visits raster position `order[0]` first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenOrder {
    /// Row by row, from left to right.
    #[default]
    Raster,
    /// Row by row, every second row from right to left.
    Alternate,
    /// Along a Z-order curve, which finishes each quarter of the grid before the next (Morton 1966).
    ZCurve,
    /// From the centre outwards; only for square grids with an even number of rows.
    SpiralOut,
    /// From the border inwards: the reverse of `spiral-out`.
    SpiralIn,
    /// Coarse to fine: the upper left position of every quarter first, then recursively within the quarters; only for
    /// square grids whose side is a power of two.
    Subsample,
    /// One fixed permutation: numpy's `RandomState(1).permutation`.
    Random,
}

impl TokenOrder {
    /// The raster positions of a grid `[H, W]` in this order: upstream's `forward_shuffle_idx`.
    ///
    /// ```
    /// use vqkit_priors::TokenOrder;
    ///
    /// assert_eq!(TokenOrder::Alternate.raster_positions([2, 3])?, [0, 1, 2, 5, 4, 3]);
    /// assert_eq!(TokenOrder::ZCurve.raster_positions([2, 4])?, [0, 1, 4, 5, 2, 3, 6, 7]);
    /// # Ok::<(), vqkit_priors::PriorError>(())
    /// ```
    ///
    /// # Errors
    /// [`PriorError::Config`] for a grid that this order does not cover.
    pub fn raster_positions(self, grid: [i64; 2]) -> Result<Vec<i64>, PriorError> {
        let [height, width] = grid;
        let raster = || (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let position = |(row, column): (i64, i64)| row * width + column;
        Ok(match self {
            Self::Raster => raster().map(position).collect(),
            Self::Alternate => {
                let turned = |(row, column)| (row, if row % 2 == 1 { width - 1 - column } else { column });
                raster().map(turned).map(position).collect()
            }
            Self::ZCurve => {
                let mut cells: Vec<_> = raster().collect();
                cells.sort_by_key(|&(row, column)| interleave(column as u64) | interleave(row as u64) << 1);
                cells.into_iter().map(position).collect()
            }
            Self::SpiralOut => spiral(self.square(grid)?)?.into_iter().map(position).collect(),
            Self::SpiralIn => spiral(self.square(grid)?)?.into_iter().rev().map(position).collect(),
            Self::Subsample => {
                let side = self.square(grid)?;
                if side.count_ones() != 1 {
                    let reason = format!("`subsample` needs a power of two rows, the grid is {grid:?}");
                    return Err(PriorError::config("order", reason));
                }
                let mut cells: Vec<_> = raster().collect();
                cells.sort_by_key(|&(row, column)| coarse_first(row as u64, column as u64, side as u64));
                cells.into_iter().map(position).collect()
            }
            Self::Random => numpy::permutation(1, height * width),
        })
    }

    fn square(self, [height, width]: [i64; 2]) -> Result<i64, PriorError> {
        match height == width {
            true => Ok(height),
            false => {
                let reason = format!("{self:?} needs as many rows as columns, the grid is [{height}, {width}]");
                Err(PriorError::config("order", reason))
            }
        }
    }
}

/// The bits of a number, a zero between every two.
fn interleave(number: u64) -> u64 {
    (0..32).map(|bit| (number >> bit & 1) << (2 * bit)).sum()
}

/// Where subsampling visits a cell: the lowest bits of row and column, in which neighbours differ, count most.
fn coarse_first(row: u64, column: u64, side: u64) -> u64 {
    let bits = u64::from(side.trailing_zeros());
    (0..bits).fold(0, |key, bit| key << 2 | (row >> bit & 1) << 1 | column >> bit & 1)
}

/// The cells of a square of an even side, from the centre: up, right, down, left, and on in ever longer strokes.
fn spiral(side: i64) -> Result<Vec<(i64, i64)>, PriorError> {
    if side < 2 || side % 2 == 1 {
        return Err(PriorError::config("order", format!("a spiral needs an even number of rows, got {side}")));
    }
    let (mut row, mut column) = (side / 2, side / 2 - 1);
    let mut cells = vec![(row, column)];
    let strokes = [(-1, 0), (0, 1), (1, 0), (0, -1)].into_iter().cycle();
    for (index, (down, right)) in (0..).zip(strokes) {
        for _ in 0..index / 2 + 1 {
            if cells.len() as i64 == side * side {
                return Ok(cells);
            }
            (row, column) = (row + down, column + right);
            cells.push((row, column));
        }
    }
    Ok(cells)
}
