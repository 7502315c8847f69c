//! Stage `report`: metrics of tokenizer and priors on validation data.

use std::path::Path;

use vqkit_data::Dataset;
use vqkit_fidelity::{Extractor, Features};
use vqkit_metrics::PixelError;
use vqkit_models::EvaluationClassifier;
use vqkit_recipe::Modality;
use vqkit_run::{Context, RgbImage, Run};
use vqkit_sample::record;

use crate::{
    class_accuracy::ClassAccuracy, error::Result, metrics::Metrics, metrics::Rate, metrics::TemplateMetrics, priors,
    protocol, protocol::Protocol, reconstruction, samples::SamplesAsSet,
};

/// The metrics of a run, and an image of originals, reconstructions and their differences.
///
/// # Errors
/// When the run is not trained, nothing is set aside for validation, or files cannot be read.
pub fn measure(run: &Run, data: &Dataset, inception: Option<&Path>, context: &Context) -> Result<(Metrics, RgbImage)> {
    let recipe = run.recipe();
    // First, since it needs the priors: a missing one should be noticed at the start.
    let levels = priors::of_run(run, context)?;
    let load = |path| Extractor::load(Features::Inception, Some(path), context);
    let inception = inception.map(load).transpose()?;
    let weights = inception.as_ref().map(|inception| inception.weights().to_owned());
    let seen = reconstruction::of_run(run, Modality::Image, data, inception, context)?;
    let template = match &recipe.template {
        Some(_) => {
            let seen = reconstruction::of_run(run, Modality::Template, data, None, context)?;
            Some(TemplateMetrics::of(&seen.error))
        }
        None => None,
    };
    let mse = seen.error.pixels().map_or(f64::NAN, PixelError::mse);
    let drawn = record::drawn(run)?;
    let of_trained_size = recipe.sample.size.is_none_or(|size| size == [recipe.data.image_size; 2]);
    let pairs = if of_trained_size { seen.error.sets() } else { &[] };
    let samples_as_set = SamplesAsSet::of(&drawn, pairs, context)?;
    let reconstruction_fid = seen.error.by(Features::Inception).and_then(|pair| pair.distance());
    let metrics = Metrics {
        protocol: Protocol::of(run, data, weights, context)?,
        reconstruction_mse: mse,
        reconstruction_psnr_db: seen.error.fidelity(),
        reconstruction_fd_vgg_cifar10: seen.error.fd_vgg_cifar10(),
        reconstruction_similarity: seen.similarity,
        class_accuracy: ClassAccuracy::of(&drawn, &EvaluationClassifier::shipped(context.device)?, context.device)?,
        reconstructions_shape_accuracy: seen.shape_accuracy,
        samples_shape_accuracy: record::shape_accuracy(run)?,
        template,
        rate: Rate::of(&levels, f64::from(recipe.data.image_size).powi(2), mse),
        levels,
        warnings: protocol::warnings(data.validation.len(), reconstruction_fid.is_some(), samples_as_set.as_ref()),
        reconstruction_fid,
        samples_as_set,
    };
    Ok((metrics, seen.picture))
}
