//! What is known of every channel, and of every group of every image.

use tch::{Kind, Tensor, no_grad};

use super::sizes::Sizes;

/// Weight and bias of every channel.
#[derive(Debug)]
pub(super) struct Affine {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Affine {
    /// 1 and 0 where there are none.
    ///
    /// # Panics
    /// When there are not as many as channels.
    pub fn of(sizes: &Sizes, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Self {
        let values = |tensor: Option<&Tensor>, default: f32| match tensor {
            None => vec![default; sizes.channels],
            Some(tensor) => {
                let values = no_grad(|| Vec::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)));
                values.expect("numbers of f32 on the CPU")
            }
        };
        let affine = Self { weight: values(weight, 1.0), bias: values(bias, 0.0) };
        assert!(affine.weight.len() == sizes.channels && affine.bias.len() == sizes.channels);
        affine
    }
}

/// What one group of one image is normalised by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub mean: f32,
    /// One over the standard deviation.
    pub scale: f32,
}

/// A number for every place of a stretch, for every image: `[B, stretch]`.
pub(super) struct Line(Vec<f32>);

impl Line {
    /// From a number for every channel of every image, `[B, C]`, repeated over the positions of a stretch.
    pub fn of(sizes: &Sizes, of_channel: impl Fn(usize) -> f32) -> Self {
        let image = |image: usize| {
            let of_image = (0..sizes.channels).map(|channel| of_channel(image * sizes.channels + channel));
            of_image.collect::<Vec<f32>>().repeat(sizes.stretch / sizes.channels)
        };
        Self((0..sizes.images).flat_map(image).collect())
    }

    #[inline(always)]
    pub fn of_image(&self, image: usize, stretch: usize) -> &[f32] {
        &self.0[image * stretch..][..stretch]
    }
}

/// Factor and summand of every channel of every image.
pub(super) struct Lines {
    pub factors: Line,
    pub summands: Line,
}

impl Lines {
    /// What turns values into normalised ones.
    pub fn of(sizes: &Sizes, affine: &Affine, moments: &[Moments]) -> Self {
        let factor = |at: usize| affine.weight[at % sizes.channels] * moments[at / sizes.channels_per_group()].scale;
        let summand =
            |at: usize| affine.bias[at % sizes.channels] - moments[at / sizes.channels_per_group()].mean * factor(at);
        Self { factors: Line::of(sizes, factor), summands: Line::of(sizes, summand) }
    }
}

/// The two sums of an image, `[C]` each, over its parts.
pub(super) fn of_parts(sizes: &Sizes, sums: &[f32], image: usize) -> [Vec<f64>; 2] {
    let mut totals = [vec![0.0; sizes.channels], vec![0.0; sizes.channels]];
    let per_part = 2 * sizes.stretch;
    let per_image = sizes.parts_per_image() * per_part;
    for part in sums[image * per_image..][..per_image].chunks_exact(per_part) {
        for (totals, sums) in totals.iter_mut().zip(part.chunks_exact(sizes.stretch)) {
            for sums in sums.chunks_exact(sizes.channels) {
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(*sum));
            }
        }
    }
    totals
}
