//! An image that was drawn.

use vqkit_run::RgbImage;

use crate::prompt::Prompt;

/// An image that was drawn.
#[derive(Debug, Clone)]
pub struct GeneratedImage {
    /// The image.
    pub picture: RgbImage,
    /// What it was conditioned on.
    pub prompt: Prompt,
    /// Its number: with the seed, it fixes the noise, whatever else was drawn in the same batch.
    pub sample: u64,
    /// Of its tokens under the priors, in nats, all levels together: at temperature 1, without guidance and filters.
    pub log_likelihood: f64,
}
