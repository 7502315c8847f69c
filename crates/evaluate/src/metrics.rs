//! `metrics.json`: the metrics of a run on validation data.

use std::collections::BTreeMap;

use serde::Serialize;
use vqkit_fidelity::ReconstructionError;
use vqkit_metrics::residual_bits;
use vqkit_sample::ShapeAccuracy;

use crate::{class_accuracy::ClassAccuracy, protocol::Protocol, samples::SamplesAsSet, similarity::Similarity};

/// `metrics.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    /// How the metrics were computed.
    pub protocol: Protocol,
    /// Mean squared error per pixel and channel in units of 1/255, with both images rounded to 8 bits, over all images.
    pub reconstruction_mse: f64,
    /// PSNR of that error, in dB.
    pub reconstruction_psnr_db: f64,
    /// Fréchet distance between images and reconstructions in the features of a small CIFAR-10 classifier
    /// (`crates/models/assets/evaluation-cifar10.safetensors`); not comparable with FID. Only for colour images.
    pub reconstruction_fd_vgg_cifar10: Option<f64>,
    /// Fréchet distance between images and reconstructions in Inception's features (rFID), where Inception's weights
    /// were given; not comparable with that of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction_fid: Option<f64>,
    /// Similarity of each image and its reconstruction.
    pub reconstruction_similarity: Similarity,
    /// Samples of the run that the evaluation classifier assigns to the class that they were generated for, where it
    /// knows their classes.
    pub class_accuracy: Option<ClassAccuracy>,
    /// Samples of the run compared with validation images as sets; for colour images of the size of training, from
    /// 1,000 of each on.
    pub samples_as_set: Option<SamplesAsSet>,
    /// Shape accuracy of reconstructions, where the run's data are the built-in shapes: an upper bound for samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstructions_shape_accuracy: Option<ShapeAccuracy>,
    /// Shape accuracy of the samples of the run, where its data are the built-in shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_shape_accuracy: Option<ShapeAccuracy>,
    /// The tokenizer of the templates, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateMetrics>,
    /// Every level of tokens, coarse first.
    pub levels: Vec<LevelMetrics>,
    /// Bits per dimension of an image, part by part.
    pub rate: Rate,
    /// Warnings for readers who compare the metrics with others.
    pub warnings: Vec<String>,
}

/// Bits per dimension of a lossless code that consists of the tokens and of the residual of their reconstruction, both
/// images rounded to 8 bits.
///
/// An estimate: no coder was run. The bits of the tokens come from the priors; those of the residual are those of an
/// ideal code ([`residual_bits`]) with one discretised Gaussian for all pixels and channels, with the mean squared
/// error that was measured. It is neither a bound that was measured directly nor a likelihood of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Bits per pixel of the tokens of all levels, at a fixed number of bits per code.
    pub fixed_bits_per_pixel: f64,
    /// The same under the best prior that ignores neighbours.
    pub unigram_bits_per_pixel: f64,
    /// The same under the trained priors, where all levels have one.
    pub prior_bits_per_pixel: Option<f64>,
    /// Bits of the tokens of all levels, where all have a trained prior.
    pub prior_bits_per_dim: Option<f64>,
    /// Bits of the residual: the tokenizer's share.
    pub residual_bits_per_dim: f64,
    /// The sum of both.
    pub total_bits_per_dim: Option<f64>,
}

impl Rate {
    /// The rate of the tokens of an image with this many pixels, and of the residual of its reconstruction.
    pub(super) fn of(levels: &[LevelMetrics], pixels: f64, mse: f64) -> Self {
        let tokens = |level: &LevelMetrics| (level.positions * level.codebooks) as f64;
        let prior_bits_per_dim: Option<f64> = levels.iter().map(|level| level.prior_bits_per_dim).sum();
        let prior: Option<f64> = levels.iter().map(|level| Some(level.prior_bits_per_token? * tokens(level))).sum();
        let residual_bits_per_dim = residual_bits(mse);
        Self {
            fixed_bits_per_pixel: levels.iter().map(|level| (level.codes as f64).log2() * tokens(level)).sum::<f64>()
                / pixels,
            unigram_bits_per_pixel: levels
                .iter()
                .map(|level| level.unigram_bits_per_token * tokens(level))
                .sum::<f64>()
                / pixels,
            prior_bits_per_pixel: prior.map(|bits| bits / pixels),
            prior_bits_per_dim,
            residual_bits_per_dim,
            total_bits_per_dim: prior_bits_per_dim.map(|prior| prior + residual_bits_per_dim),
        }
    }
}

/// Metrics of the reconstructions of validation templates, by the names of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TemplateMetrics(BTreeMap<String, f64>);

impl TemplateMetrics {
    /// Those of reconstructed validation templates.
    pub(super) fn of(error: &ReconstructionError) -> Self {
        Self(error.metrics().into_iter().collect())
    }

    /// The metrics by name.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, metric)| (name.as_str(), *metric))
    }
}

/// The metrics of one level.
#[derive(Debug, Clone, Serialize)]
pub struct LevelMetrics {
    /// Number of positions of its grid.
    pub positions: i64,
    /// Number of codebooks, each of which assigns a code to a position.
    pub codebooks: i64,
    /// Number of codes of its codebook (the first, where there are several).
    pub codes: i64,
    /// Share of codes used on validation images, mean over the codebooks.
    pub usage: f64,
    /// Perplexity of the codes on validation images, mean over the codebooks.
    pub perplexity: f64,
    /// Bits per token under the best prior that ignores neighbours.
    pub unigram_bits_per_token: f64,
    /// Nats per token under the trained prior.
    pub prior_nats_per_token: Option<f64>,
    /// Bits per token under the trained prior.
    pub prior_bits_per_token: Option<f64>,
    /// The bits of the level's tokens under the trained prior, divided by the `C · H · W` values of an image.
    pub prior_bits_per_dim: Option<f64>,
}
