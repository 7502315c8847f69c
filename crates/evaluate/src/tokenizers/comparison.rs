//! Trained tokenizers on the same images, measured one after the other.

use std::path::PathBuf;

use serde::Serialize;
use vqkit_losses::Lpips;
use vqkit_models::perceptual;
use vqkit_pretrained::hub;
use vqkit_recipe::{InvalidRequest, LpipsConfig, PerceptualConfig};
use vqkit_run::Context;

use crate::{
    error::Result,
    tokenizers::{
        measure::measure, measures::TokenizerMeasures, protocol::ComparisonProtocol, request::TokenizerRequest,
        set_distance::SetComparer, subject::Subject, warnings,
    },
};

/// Trained tokenizers on the same images.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerComparison {
    /// How the metrics were computed.
    pub protocol: ComparisonProtocol,
    /// The tokenizers, in the requested order.
    pub tokenizers: Vec<TokenizerMeasures>,
    /// Metrics that are missing, and reasons why metrics are not comparable.
    pub warnings: Vec<String>,
}

/// Measures every tokenizer of a request on all of its images, one after the other.
///
/// Images pass batch by batch, so memory does not grow with their number, and one tokenizer is in memory at a time.
///
/// ```no_run
/// use vqkit_evaluate::{TokenizerRequest, compare_tokenizers};
/// use vqkit_run::Context;
///
/// let request = TokenizerRequest::new(vec!["runs/a".into(), "runs/b".into()], vec!["photographs".into()]);
/// let comparison = compare_tokenizers(&request, &Context::silent("auto")?)?;
/// let table = comparison.to_string();
/// # Ok::<(), vqkit_evaluate::EvaluateError>(())
/// ```
///
/// # Errors
/// Before anything is measured: when a path is no run or its tokenizer is not trained, there are no images, a tokenizer
/// cannot take them at the requested size, or given weights are missing or of another network. Later: when an image
/// cannot be read and the recipe does not skip it, memory does not suffice, or the user interrupts.
pub fn compare(request: &TokenizerRequest, context: &Context) -> Result<TokenizerComparison> {
    check(request)?;
    let subjects = Subject::open_all(request, context)?;
    let mut sets = SetComparer::of(request, context)?;
    let lpips = lpips(request, context)?;
    let fingerprint = subjects.first().map(|subject| subject.view.fingerprint()).unwrap_or_default();
    let protocol = ComparisonProtocol::of(request, fingerprint, sets.as_ref(), lpips.is_some(), context);
    let mut tokenizers = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        tokenizers.push(measure(subject, request, &mut sets, lpips.as_ref(), context)?);
    }
    let warnings = warnings::of(&protocol, &tokenizers, request.features)?;
    Ok(TokenizerComparison { protocol, tokenizers, warnings })
}

/// What is wrong with a request by itself.
fn check(request: &TokenizerRequest) -> Result<(), InvalidRequest> {
    let missing = |option, what: &str| Err(InvalidRequest::option(option, format!("name at least one {what}")));
    match () {
        () if request.tokenizers.is_empty() => missing("tokenizers", "run folder"),
        () if request.data.is_empty() => missing("data", "folder of images"),
        () if request.batch_size == 0 => Err(InvalidRequest::option("batch_size", "must be at least 1")),
        () => Ok(()),
    }
}

/// LPIPS with the weights of the request, else with those that were downloaded before; `None` where there are none.
fn lpips(request: &TokenizerRequest, context: &Context) -> Result<Option<Lpips>> {
    let local = |file: &PathBuf| Ok(hub::local_path(file, &context.observer)?.into_owned());
    let weights = request.lpips.iter().map(local).collect::<Result<Vec<PathBuf>>>()?;
    if let Some(gone) = weights.iter().find(|file| !file.is_file()) {
        let reason = format!("there are no weights at {}", gone.display());
        return Err(InvalidRequest::option("lpips", reason).into());
    }
    let given = LpipsConfig { weight: 1.0, weights, optional: false };
    Ok(perceptual::lpips_at_hand(Some(&PerceptualConfig::Lpips(given)), context.device)?)
}

impl TokenizerComparison {
    /// The tokenizers that got the images in the same way, as positions in the list, by the way: only their metrics are
    /// comparable directly.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, measures) in self.tokenizers.iter().enumerate() {
            let same = |group: &&mut Vec<usize>| self.tokenizers[group[0]].preparation == measures.preparation;
            match groups.iter_mut().find(same) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        groups
    }
}
