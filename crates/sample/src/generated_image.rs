//! A generated image.

use vqkit_run::RgbImage;

use crate::prompt::Prompt;

/// A generated image.
#[derive(Debug, Clone)]
pub struct GeneratedImage {
    /// The image.
    pub picture: RgbImage,
    /// What it was conditioned on.
    pub prompt: Prompt,
    /// Its number, which with the seed determines the random numbers, independent of the batch.
    pub sample: u64,
    /// Log-likelihood of its tokens under the priors, in nats, summed over all levels, at temperature 1, without
    /// guidance and filters.
    pub log_likelihood: f64,
}
