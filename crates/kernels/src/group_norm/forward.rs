//! The two passes forward: the moments, and the values.

use std::marker::PhantomData;

use tch::Tensor;

use super::applied::Apply;
use super::lines::{Affine, Line, Lines, Moments, of_parts};
use super::sizes::{Part, Sizes};
use crate::dispatch::{Kernel, launch};
use crate::memory::{Places, numbers};
use crate::number::Number;

/// Writes the values into `result`, `[B, H, W, C]` as `rows`; returns the moments, image by image.
pub(super) fn forward<T: Number, A: Apply>(
    rows: &Tensor,
    sizes: &Sizes,
    affine: &Affine,
    eps: f64,
    result: &Tensor,
) -> Vec<Moments> {
    // SAFETY: the caller names the kind; nobody else has the new tensor.
    let (values, places) = unsafe { (numbers::<T>(rows), Places::<T>::of(result)) };
    let mut sums = vec![0.0; sizes.parts() * 2 * sizes.stretch];
    let first = |at: usize| values[at / sizes.channels * sizes.positions * sizes.channels + at % sizes.channels].read();
    let origins = Line::of(sizes, first);
    launch(&Sums { values, sizes, origins: &origins, sums: Places::of_slice(&mut sums) }, sizes.parts());
    let moments = moments(&origins, sizes, &sums, eps);
    let lines = Lines::of(sizes, affine, &moments);
    launch(&Values::<T, A> { values, sizes, lines: &lines, places, applied: PhantomData }, sizes.parts());
    moments
}

/// Sums of the values and of their squares, channel by channel, each less the first value of its image and channel: of differences, squares lose
/// little where a mean is large.
struct Sums<'a, T> {
    values: &'a [T],
    sizes: &'a Sizes,
    origins: &'a Line,
    /// `[parts, 2, stretch]`
    sums: Places<f32>,
}

impl<T: Number> Kernel for Sums<'_, T> {
    #[inline(always)]
    fn run(&self, part: usize) {
        let Sizes { stretch, .. } = *self.sizes;
        let Part { image, first, count } = self.sizes.part(part);
        let origins = self.origins.of_image(image, stretch);
        // SAFETY: every part has sums of its own.
        let sums = unsafe { self.sums.part(part * 2 * stretch, 2 * stretch) };
        let (plain, squares) = sums.split_at_mut(stretch);
        for values in self.values[first..][..count].chunks(stretch) {
            let places = plain.iter_mut().zip(squares.iter_mut());
            for ((value, origin), (plain, square)) in values.iter().zip(origins).zip(places) {
                let difference = value.read() - origin;
                *plain += difference;
                *square += difference * difference;
            }
        }
    }
}

/// The moments of every group of every image, from the sums of the parts.
fn moments(origins: &Line, sizes: &Sizes, sums: &[f32], eps: f64) -> Vec<Moments> {
    let positions = sizes.positions as f64;
    let of_image = |image: usize| {
        let [plain, squares] = of_parts(sizes, sums, image);
        let origins = origins.of_image(image, sizes.stretch);
        // The mean of every channel, and the sum of squared distances from it.
        let of_channel = move |channel: usize| {
            let mean = plain[channel] / positions;
            (mean + f64::from(origins[channel]), squares[channel] - mean * plain[channel])
        };
        (0..sizes.groups)
            .map(move |group| {
                let width = sizes.channels_per_group();
                let of_group: Vec<(f64, f64)> = (group * width..(group + 1) * width).map(&of_channel).collect();
                let mean = of_group.iter().map(|(mean, _)| mean).sum::<f64>() / width as f64;
                let spread = |(of_channel, squares): &(f64, f64)| squares + positions * (of_channel - mean).powi(2);
                let variance = of_group.iter().map(spread).sum::<f64>() / (positions * width as f64);
                Moments { mean: mean as f32, scale: (variance.max(0.0) + eps).sqrt().recip() as f32 }
            })
            .collect::<Vec<_>>()
    };
    (0..sizes.images).flat_map(of_image).collect()
}

struct Values<'a, T, A> {
    values: &'a [T],
    sizes: &'a Sizes,
    lines: &'a Lines,
    places: Places<T>,
    applied: PhantomData<A>,
}

impl<T: Number, A: Apply> Kernel for Values<'_, T, A> {
    #[inline(always)]
    fn run(&self, part: usize) {
        let Sizes { stretch, .. } = *self.sizes;
        let Part { image, first, count } = self.sizes.part(part);
        let Lines { factors, summands } = self.lines;
        let (factors, summands) = (factors.of_image(image, stretch), summands.of_image(image, stretch));
        // SAFETY: every part has places of its own.
        let places = unsafe { self.places.part(first, count) };
        for (places, values) in places.chunks_mut(stretch).zip(self.values[first..][..count].chunks(stretch)) {
            for (((place, value), factor), summand) in places.iter_mut().zip(values).zip(factors).zip(summands) {
                *place = T::write(A::value(value.read() * factor + summand));
            }
        }
    }
}
