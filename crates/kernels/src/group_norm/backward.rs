//! The two passes back: the sums, and the gradient.

use std::marker::PhantomData;

use tch::Tensor;

use super::applied::Apply;
use super::lines::{Affine, Line, Lines, Moments, of_parts};
use super::sizes::{Part, Sizes};
use crate::dispatch::{Kernel, launch};
use crate::memory::{Places, numbers};
use crate::number::Number;

/// Writes the gradient at the values into `at_rows`; returns those at weight and bias.
pub(super) fn backward<T: Number, A: Apply>(
    [rows, gradient]: [&Tensor; 2],
    sizes: &Sizes,
    affine: &Affine,
    moments: &[Moments],
    at_rows: &Tensor,
) -> (Vec<f32>, Vec<f32>) {
    // SAFETY: the caller names the kind; nobody else has the new tensor.
    let (values, gradients, places) = unsafe { (numbers::<T>(rows), numbers::<T>(gradient), Places::<T>::of(at_rows)) };
    let lines = Lines::of(sizes, affine, moments);
    let of_group = |at: usize| moments[at / sizes.channels_per_group()];
    let means = Line::of(sizes, |at| of_group(at).mean);
    let scales = Line::of(sizes, |at| of_group(at).scale);
    let inner = Inner::<T, A> { values, gradients, sizes, lines: &lines, means: &means, applied: PhantomData };
    let mut sums = vec![0.0; sizes.parts() * 2 * sizes.stretch];
    launch(&GradientSums { inner: &inner, scales: &scales, sums: Places::of_slice(&mut sums) }, sizes.parts());
    let (of_weight, of_bias, corrections) = corrections(sizes, affine, moments, &sums);
    launch(&Gradients { inner: &inner, corrections: &corrections, places }, sizes.parts());
    (of_weight, of_bias)
}

/// What both passes back read.
struct Inner<'a, T, A> {
    values: &'a [T],
    /// At the results.
    gradients: &'a [T],
    sizes: &'a Sizes,
    lines: &'a Lines,
    means: &'a Line,
    applied: PhantomData<A>,
}

/// The sums of the gradient behind the activation, and of its product with the normalised values, channel by channel.
struct GradientSums<'a, T, A> {
    inner: &'a Inner<'a, T, A>,
    scales: &'a Line,
    /// `[parts, 2, stretch]`
    sums: Places<f32>,
}

impl<T: Number, A: Apply> Kernel for GradientSums<'_, T, A> {
    #[inline(always)]
    fn run(&self, part: usize) {
        let Inner { values, gradients, sizes: Sizes { stretch, .. }, lines, means, .. } = *self.inner;
        let stretch = *stretch;
        let Part { image, first, count } = self.inner.sizes.part(part);
        let [factors, summands, means, scales] =
            [&lines.factors, &lines.summands, means, self.scales].map(|line| line.of_image(image, stretch));
        // SAFETY: every part has sums of its own.
        let sums = unsafe { self.sums.part(part * 2 * stretch, 2 * stretch) };
        let (plain, products) = sums.split_at_mut(stretch);
        let values = values[first..][..count].chunks(stretch);
        for (values, gradients) in values.zip(gradients[first..][..count].chunks(stretch)) {
            let of_channels = factors.iter().zip(summands).zip(means).zip(scales);
            let places = plain.iter_mut().zip(products.iter_mut());
            for (((value, gradient), (((factor, summand), mean), scale)), (plain, product)) in
                values.iter().zip(gradients).zip(of_channels).zip(places)
            {
                let value = value.read();
                let gradient = gradient.read() * A::slope(value * factor + summand);
                *plain += gradient;
                *product += gradient * ((value - mean) * scale);
            }
        }
    }
}

/// What is subtracted from the gradient of a value, since it moves the moments of its group: a summand and a factor of the
/// value's distance from the mean, `[B, C]` each. Before them, the gradients at weight and bias.
fn corrections(sizes: &Sizes, affine: &Affine, moments: &[Moments], sums: &[f32]) -> (Vec<f32>, Vec<f32>, Lines) {
    let (channels, width) = (sizes.channels, sizes.channels_per_group());
    let members = (sizes.positions * width) as f64;
    let (mut of_weight, mut of_bias) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    let (mut factors, mut summands) = (Vec::new(), Vec::new());
    for image in 0..sizes.images {
        let [plain, products] = of_parts(sizes, sums, image);
        of_bias.iter_mut().zip(&plain).for_each(|(total, sum)| *total += sum);
        of_weight.iter_mut().zip(&products).for_each(|(total, sum)| *total += sum);
        for group in 0..sizes.groups {
            let scale = f64::from(moments[image * sizes.groups + group].scale);
            let weighted = |sums: &[f64]| -> f64 {
                (group * width..(group + 1) * width).map(|at| f64::from(affine.weight[at]) * sums[at]).sum()
            };
            let (summand, factor) = (scale * weighted(&plain) / members, scale * scale * weighted(&products) / members);
            summands.push(summand as f32);
            factors.push(factor as f32);
        }
    }
    let of_group = |groups: Vec<f32>| Line::of(sizes, |at| groups[at / width]);
    let corrections = Lines { factors: of_group(factors), summands: of_group(summands) };
    let single = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
    (single(of_weight), single(of_bias), corrections)
}

struct Gradients<'a, T, A> {
    inner: &'a Inner<'a, T, A>,
    corrections: &'a Lines,
    places: Places<T>,
}

impl<T: Number, A: Apply> Kernel for Gradients<'_, T, A> {
    #[inline(always)]
    fn run(&self, part: usize) {
        let Inner { values, gradients, sizes: Sizes { stretch, .. }, lines, means, .. } = *self.inner;
        let stretch = *stretch;
        let Part { image, first, count } = self.inner.sizes.part(part);
        let Lines { factors: falls, summands: shifts } = self.corrections;
        let [factors, summands, means, falls, shifts] =
            [&lines.factors, &lines.summands, means, falls, shifts].map(|line| line.of_image(image, stretch));
        // SAFETY: every part has places of its own.
        let places = unsafe { self.places.part(first, count) };
        let values = values[first..][..count].chunks(stretch);
        let values = values.zip(gradients[first..][..count].chunks(stretch));
        for (places, (values, gradients)) in places.chunks_mut(stretch).zip(values) {
            let of_channels = factors.iter().zip(summands).zip(means).zip(falls).zip(shifts);
            let of_values = places.iter_mut().zip(values).zip(gradients);
            for (((place, value), gradient), ((((factor, summand), mean), fall), shift)) in of_values.zip(of_channels) {
                let value = value.read();
                let gradient = gradient.read() * A::slope(value * factor + summand);
                *place = T::write(gradient * factor - (shift + fall * (value - mean)));
            }
        }
    }
}
