//! How the metrics were computed, and warnings about comparing them.

use serde::Serialize;
use vqkit_data::{Crop, Dataset, Filter};
use vqkit_fidelity::{set_metrics, statistics};
use vqkit_models::EvaluationClassifier;
use vqkit_priors::Sampling;
use vqkit_recipe::{Modality, stage_names};
use vqkit_run::{Context, Invocation, Run};
use vqkit_sample::record;

use crate::{error::Result, samples::SamplesAsSet};

/// The name of this protocol; a different way of measuring will have a different name.
const NAME: &str = "vqkit-validation-1";

/// How the metrics were computed.
#[derive(Debug, Clone, Serialize)]
pub struct Protocol {
    /// `vqkit-validation-1`: all validation images, in order, not mirrored; both sides of a comparison in RGB rounded to 8 bits.
    pub name: &'static str,
    /// The part of the data that was used.
    pub split: &'static str,
    /// Number of validation images, all of which were used.
    pub validation_images: usize,
    /// Fingerprint of the validation data.
    pub data: String,
    /// Width and height of the images.
    pub image_size: u32,
    /// Which square is cropped from an image; in evaluation always the middle.
    pub crop: Crop,
    /// The short side before the square is cropped.
    pub short_side: u32,
    /// Filter of the resize, antialiased.
    pub resize: Filter,
    /// Range of the values of both sides of a comparison.
    pub value_range: &'static str,
    /// Number format of the computations of tokenizer and priors: `fp32` or `bf16`; networks of metrics use fp32,
    /// distances fp64.
    pub precision: String,
    /// The device.
    pub device: String,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// Versions of vqkit and libtorch.
    pub versions: [String; 2],
    /// Fingerprint of the tokenizer's weights.
    pub tokenizer: String,
    /// Fingerprints of the priors' weights, coarse first.
    pub priors: Vec<String>,
    /// BLAKE3 of the evaluation classifier's weights.
    pub vgg_cifar10: String,
    /// BLAKE3 of Inception's weights, where they were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inception: Option<String>,
    /// How samples were generated, including the seed; where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// Largest number of features of a set that are kept for neighbours and kernels.
    pub kept_features: usize,
}

impl Protocol {
    /// The protocol of a run that is measured now.
    ///
    /// # Errors
    /// When the run has no tokenizer, or its samples cannot be read.
    pub fn of(run: &Run, data: &Dataset, inception: Option<String>, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let call = Invocation::of_process(context, recipe.head.precision, recipe.head.seed);
        let stages = stage_names::stages(recipe);
        let priors = stages.iter().filter_map(|stage| Some(run.output(stage)?.fingerprint.clone()));
        Ok(Self {
            name: NAME,
            split: "validation",
            validation_images: data.validation.len(),
            data: data.validation.fingerprint(),
            image_size: recipe.data.image_size,
            crop: Crop::Center,
            short_side: recipe.data.short_side.unwrap_or(recipe.data.image_size),
            resize: recipe.data.resize,
            value_range: "8 bits, 0 to 255",
            precision: call.precision,
            device: call.device,
            threads: call.threads,
            versions: [env!("CARGO_PKG_VERSION").into(), call.libtorch],
            tokenizer: run.require(Modality::Image.stage())?.fingerprint.clone(),
            priors: priors.collect(),
            vgg_cifar10: EvaluationClassifier::shipped(context.device)?.fingerprint,
            inception,
            sampling: record::settings(run)?,
            kept_features: statistics::KEPT,
        })
    }
}

/// Warnings for readers who compare the metrics with others.
pub fn warnings(validation: usize, has_reconstruction_fid: bool, samples: Option<&SamplesAsSet>) -> Vec<String> {
    let mut warnings = Vec::new();
    let few = |what: &str, count: usize| {
        let many = set_metrics::MANY;
        format!(
            "{count} {what} are few for a Fréchet distance, which is biased upwards for small sets: published results use {many} to 50000"
        )
    };
    if validation < set_metrics::MANY && (has_reconstruction_fid || samples.is_some()) {
        warnings.push(few("validation images", validation));
    }
    if let Some(samples) = samples.filter(|set| set.samples < set_metrics::MANY) {
        warnings.push(few("samples", samples.samples));
    }
    if has_reconstruction_fid && samples.is_some() {
        let reason = "reconstruction_fid (rFID) measures the tokenizer, fid (gFID) the samples: do not compare them with each other";
        warnings.push(reason.into());
    }
    warnings
}
