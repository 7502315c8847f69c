//! Comparison of any two sets of images; where one was generated for classes, with the class accuracy.

use vqkit_fidelity::{Extractor, Features, Request, SetMetrics};
use vqkit_run::Context;
use vqkit_sample::record;

use crate::{class_accuracy::ClassAccuracy, error::Result};

/// Compares two sets as [`vqkit_fidelity::compare`] does; adds the class accuracy, `class_accuracy_percent`, of a folder
/// that `vqkit sample` wrote, where the network is a classifier that knows every class (or, in a run without classes,
/// every caption) in it.
///
/// # Errors
/// Those of [`vqkit_fidelity::compare`]; when the record of the samples cannot be read.
pub fn compare(request: &Request, context: &Context) -> Result<SetMetrics> {
    let mut compared = vqkit_fidelity::compare(request, context)?;
    let drawn = record::drawn_in(&request.fake)?;
    if drawn.is_empty() || request.features == Features::Inception {
        return Ok(compared);
    }
    let network = Extractor::load(request.features, request.weights.as_deref(), context)?;
    if let Some(classifier) = network.classifier()
        && let Some(accuracy) = ClassAccuracy::of(&drawn, classifier, context.device)?
    {
        compared.metrics.insert("class_accuracy_percent".into(), accuracy.percent().into());
    }
    Ok(compared)
}
