//! Fitting a shape to an object.
//!
//! An object and a shape have the same centre of mass. Area gives a first width; widths around it are tried, each sharp and
//! blurred, since what a model draws is soft. The shape that leaves the least unexplained is the object's.

use super::{Shape, patch::Patch};

/// Widths tried, as shares of the one that the area gives. Softness adds to the area, so most are smaller.
const WIDTHS: [f64; 6] = [0.78, 0.85, 0.92, 0.96, 1.0, 1.06];

/// Blurs tried, sharp included.
const BLURS: usize = 3;

/// A shape laid over an object; lengths in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitted {
    pub shape: Shape,
    pub middle: [f64; 2],
    pub width: f64,
    /// `1 - cos²` of the angle between object and shape: the share of squares that no multiple of the shape explains.
    pub misfit: f64,
}

/// The shape that explains `mask` best, whose values are proportional to the covered shares; `None` where it is empty.
pub(super) fn fit(mask: &Patch) -> Option<Fitted> {
    let mut sorted = mask.values.iter().copied().filter(|value| *value > 0.0).collect::<Vec<_>>();
    sorted.sort_by(f64::total_cmp);
    let full = *sorted.get(sorted.len() * 9 / 10)?;
    let sum: f64 = mask.values.iter().sum();
    let moment = |axis: fn(usize, usize) -> usize| {
        let weigh = |(place, value): (usize, &f64)| value * (axis(place, mask.size[0]) as f64 + 0.5);
        mask.values.iter().enumerate().map(weigh).sum::<f64>() / sum
    };
    let mass = [moment(|place, width| place % width), moment(|place, width| place / width)];
    let tried = Shape::ALL.into_iter().flat_map(|shape| {
        let width = (sum / full / shape.fill()).sqrt();
        WIDTHS.map(|share| laid_over(shape, width * share, mass, mask))
    });
    tried.min_by(|a, b| a.misfit.total_cmp(&b.misfit))
}

/// The best of the sharp and the blurred shape of this width, with its centre of mass at `mass`.
fn laid_over(shape: Shape, width: f64, mass: [f64; 2], mask: &Patch) -> Fitted {
    let middle = [mass[0], mass[1] - shape.drop() * width / 2.0];
    let mut patch = Patch::of(shape, middle, width, mask.size);
    let own = mask.dot(mask);
    let mut misfit = f64::INFINITY;
    for _ in 0..BLURS {
        misfit = misfit.min(1.0 - patch.dot(mask).powi(2) / (own * patch.dot(&patch)).max(f64::MIN_POSITIVE));
        patch = patch.blurred();
    }
    Fitted { shape, middle, width, misfit }
}
