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
    /// Mean squared error of a pixel's channel in units of 1/255, both sides rounded to 8 bits, over all images.
    pub reconstruction_mse: f64,
    /// PSNR of that error, in dB.
    pub reconstruction_psnr_db: f64,
    /// Fréchet distance of the features of a small classifier of CIFAR-10 (`assets/evaluation-cifar10.safetensors`), images against
    /// reconstructions; never to be compared with a FID. Of colour images only.
    pub reconstruction_fd_vgg_cifar10: Option<f64>,
    /// Fréchet distance of Inception's features, images against reconstructions (rFID), where Inception's weights were given; never to
    /// be compared with that of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction_fid: Option<f64>,
    /// How alike images and reconstructions are, one by one.
    pub reconstruction_similarity: Similarity,
    /// Samples of the run that the evaluation classifier assigns to the class they were drawn for, where it knows their classes.
    pub class_accuracy: Option<ClassAccuracy>,
    /// Samples of the run against validation images, as sets; of colour images of the trained size, from 1,000 of either on.
    pub samples_as_set: Option<SamplesAsSet>,
    /// What the checker of the built-in shapes finds in reconstructions, where these are the run's data: the most that samples can reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstructions_shape_accuracy: Option<ShapeAccuracy>,
    /// What the checker of the built-in shapes found in the samples of the run, where these are its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_shape_accuracy: Option<ShapeAccuracy>,
    /// The tokenizer of the templates, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateMetrics>,
    /// Every level of tokens, coarse first.
    pub levels: Vec<LevelMetrics>,
    /// What the image takes per dimension, part by part.
    pub rate: Rate,
    /// What a reader should know before comparing the metrics with others.
    pub warnings: Vec<String>,
}

/// Bits per dimension of a lossless code that is built of the tokens and of what their reconstruction misses, both rounded to 8 bits.
///
/// An estimate: no coder was run. The tokens take what the priors say; the differences take what an ideal code of
/// [`residual_bits`] does, one discretised Gaussian for all pixels and channels, with the mean squared
/// error that was measured. It is no bound that was measured directly, and no likelihood of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Bits per pixel of the tokens of all levels, each code as many bits as tell all apart.
    pub fixed_bits_per_pixel: f64,
    /// Of the same under the best prior that ignores neighbours.
    pub unigram_bits_per_pixel: f64,
    /// Of the same under the trained priors; where all levels have one.
    pub prior_bits_per_pixel: Option<f64>,
    /// Of the tokens of all levels; where all have a trained prior.
    pub prior_bits_per_dim: Option<f64>,
    /// Of the differences: the tokenizer's share.
    pub residual_bits_per_dim: f64,
    /// Of both.
    pub total_bits_per_dim: Option<f64>,
}

impl Rate {
    /// Of the tokens of an image with so many pixels, and what the reconstruction misses.
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

/// How well validation templates are reconstructed: by name, as the log has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TemplateMetrics(BTreeMap<String, f64>);

impl TemplateMetrics {
    /// Of what became of validation templates.
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
    /// Positions of its grid.
    pub positions: i64,
    /// Codebooks, each of which gives a position a code.
    pub codebooks: i64,
    /// Codes of its codebook (the first, where a position has several).
    pub codes: i64,
    /// Ratio of codes used on validation images, mean over the codebooks.
    pub usage: f64,
    /// Perplexity of the codes on validation images, mean over the codebooks.
    pub perplexity: f64,
    /// Bits of a token under the best prior that ignores its neighbours.
    pub unigram_bits_per_token: f64,
    /// Nats of a token under the trained prior.
    pub prior_nats_per_token: Option<f64>,
    /// Bits of a token under the trained prior.
    pub prior_bits_per_token: Option<f64>,
    /// The bits of the level's tokens under the trained prior, spread over the `C · H · W` numbers of an image.
    pub prior_bits_per_dim: Option<f64>,
}
