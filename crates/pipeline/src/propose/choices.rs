//! Sizes of images, networks and codebooks for a data set, a machine and a time.

use super::found::Found;

/// Images of a training step of the tokenizer, and of the prior.
pub const BATCH_SIZES: (u64, u64) = (16, 32);

/// How often a tokenizer may see every image: more passes improve held-out reconstructions no further.
const TOKENIZER_EPOCHS: u64 = 600;

/// How often a prior may see every image: it has memorised them long before.
const PRIOR_EPOCHS: u64 = 150;

/// The fewest steps that are worth a training.
pub const FEWEST_STEPS: u64 = 200;

/// What a recipe is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    /// Width and height of the images in pixels.
    pub image_size: u32,
    /// How many times smaller the token grid is.
    pub downsampling: u32,
    /// Codes.
    pub codebook_size: u32,
    /// Whether there is a discriminator.
    pub is_adversarial: bool,
    /// Layers, heads and width of the prior.
    pub prior: [u32; 3],
    /// Dropout in the prior.
    pub dropout: f64,
    /// Share of the images for validation, where the source has none of its own.
    pub validation: f64,
}

impl Choices {
    /// Choices for what was found. `is_fast`: whether there is a GPU.
    pub fn of(found: &Found, hours: f64, is_fast: bool) -> Self {
        let images = found.plan.images;
        // A GPU does in an hour what a processor does in a day.
        let hours = if is_fast { hours * 24.0 } else { hours };
        let affordable = match hours {
            ..0.5 => 32,
            ..6.0 => 64,
            ..48.0 => 128,
            _ => 256,
        };
        let image_size = [256, 128, 64, 32].into_iter().find(|size| *size <= affordable.min(found.short_side()));
        let image_size = image_size.unwrap_or(32);
        let downsampling = match (image_size, hours) {
            (32, _) | (64, 1.5..) => 4,
            (64 | 128, _) => 8,
            _ => 16,
        };
        let codebook_size = match images {
            0..2_000 => 512,
            2_000..100_000 => 1024,
            _ => 4096,
        };
        let prior = match (images, hours) {
            (_, ..1.0) => [4, 4, 192],
            (..20_000, _) | (_, ..12.0) => [6, 8, 256],
            (_, ..100.0) => [8, 8, 384],
            _ => [12, 12, 768],
        };
        Self {
            image_size,
            downsampling,
            codebook_size,
            is_adversarial: hours >= 2.0 && images >= 500,
            prior,
            dropout: if images < 100_000 { 0.1 } else { 0.0 },
            validation: (500.0 / images as f64).clamp(0.01, 0.1),
        }
    }

    /// The side of the token grid.
    pub fn grid(&self) -> u32 {
        self.image_size / self.downsampling
    }
}

/// As many steps of a tokenizer as the time allows and the images are good for.
pub fn tokenizer_steps(seconds: f64, step: f64, images: usize) -> u64 {
    steps(seconds, step, images as u64 * TOKENIZER_EPOCHS / BATCH_SIZES.0)
}

/// The same of a prior.
pub fn prior_steps(seconds: f64, step: f64, images: usize) -> u64 {
    steps(seconds, step, images as u64 * PRIOR_EPOCHS / BATCH_SIZES.1)
}

/// A number of steps with two digits that count.
fn steps(seconds: f64, step: f64, most: u64) -> u64 {
    let affordable = (seconds / step.max(1e-6)) as u64;
    let steps = affordable.min(most).max(FEWEST_STEPS);
    let digit = 10u64.pow(steps.ilog10().saturating_sub(1));
    steps / digit * digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_what_the_time_allows_and_the_images_are_good_for() {
        assert_eq!(tokenizer_steps(1000.0, 0.1, 1_000_000), 10_000);
        assert_eq!(tokenizer_steps(1234.0, 0.1, 1_000_000), 12_000);
        assert_eq!(tokenizer_steps(1e9, 0.1, 160), 6_000);
        assert_eq!(prior_steps(1.0, 1.0, 100_000), FEWEST_STEPS);
    }
}
