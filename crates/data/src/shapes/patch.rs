//! Small grids of covered shares.

use super::Shape;

/// Subpixels per pixel and direction.
const SAMPLES: usize = 4;

/// A value per pixel of a small grid, row by row.
#[derive(Debug, Clone)]
pub(super) struct Patch {
    /// Width and height.
    pub size: [usize; 2],
    /// The values.
    pub values: Vec<f64>,
}

impl Patch {
    /// Zeros.
    pub(super) fn empty(size: [usize; 2]) -> Self {
        Self { size, values: vec![0.0; size[0] * size[1]] }
    }

    /// The covered shares of a shape; `middle` and `width` are in pixels.
    pub(super) fn of(shape: Shape, middle: [f64; 2], width: f64, size: [usize; 2]) -> Self {
        let mut patch = Self::empty(size);
        coverage(shape, middle, width, size, |place, covered| patch.values[place] = covered);
        patch
    }

    /// Blurred with the kernel (1, 2, 1) / 4 in both directions; there is nothing outside.
    pub(super) fn blurred(&self) -> Self {
        let width = self.size[0];
        let across = |values: &[f64], step: usize, at: usize, before: bool, after: bool| {
            let near = |there: bool, place: usize| if there { values[place] } else { 0.0 };
            (near(before, at.wrapping_sub(step)) + 2.0 * values[at] + near(after, at + step)) / 4.0
        };
        let rows: Vec<f64> = (0..self.values.len())
            .map(|at| across(&self.values, 1, at, at % width > 0, at % width + 1 < width))
            .collect();
        let values = (0..rows.len()).map(|at| across(&rows, width, at, at >= width, at + width < rows.len())).collect();
        Self { size: self.size, values }
    }

    /// The sum of products.
    pub(super) fn dot(&self, other: &Self) -> f64 {
        self.values.iter().zip(&other.values).map(|(a, b)| a * b).sum()
    }
}

/// Calls `paint` with every pixel, by its place in raster order, that the shape covers, and its covered share. `middle` and
/// `width` are in pixels of a grid of this `size`, width and height.
pub(super) fn coverage(
    shape: Shape,
    middle: [f64; 2],
    width: f64,
    size: [usize; 2],
    mut paint: impl FnMut(usize, f64),
) {
    let half = (width / 2.0).max(f64::MIN_POSITIVE);
    let span = |axis: usize| {
        let (low, high) = ((middle[axis] - half).floor().max(0.0), (middle[axis] + half).ceil().max(0.0));
        low as usize..(high as usize).min(size[axis])
    };
    for row in span(1) {
        for column in span(0) {
            let step = |pixel: usize, i: usize| pixel as f64 + (i as f64 + 0.5) / SAMPLES as f64;
            let hit = |i: &usize| {
                let (x, y) = (step(column, i % SAMPLES), step(row, i / SAMPLES));
                shape.covers((x - middle[0]) / half, (y - middle[1]) / half)
            };
            let hits = (0..SAMPLES * SAMPLES).filter(hit).count();
            if hits > 0 {
                paint(row * size[0] + column, hits as f64 / (SAMPLES * SAMPLES) as f64);
            }
        }
    }
}
