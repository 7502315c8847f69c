//! Batches of a recipe's data: in training order, or once through the validation samples.

use std::iter;

use serde_json::json;
use vqkit_data::{Batch, Dataset, Loader, LoaderConfig, Order, View};
use vqkit_recipe::Recipe;
use vqkit_run::{Context, Run, files};

use crate::{error::Result, error::TokensError};

/// The endless stream of augmented training batches, from the sample `start` on.
///
/// # Errors
/// When a loader cannot be started.
pub fn training(recipe: &Recipe, data: &Dataset, batch_size: usize, start: u64) -> Result<Loader> {
    let config = LoaderConfig { batch_size, seed: recipe.head.seed, start, augment: true, ..LoaderConfig::default() };
    Ok(Loader::new(&data.train, config)?)
}

/// The next batch of a stream that has no end.
///
/// # Errors
/// When an image cannot be read.
pub fn next(loader: &mut Loader) -> Result<Batch> {
    Ok(loader.next().ok_or(TokensError::StreamEnded)??)
}

/// Batches of the first `wanted` validation samples, in order, without augmentation.
///
/// # Errors
/// When nothing is set aside for validation.
pub fn validation(
    recipe: &Recipe,
    data: &Dataset,
    wanted: usize,
    context: &Context,
) -> Result<impl Iterator<Item = Result<Batch>>> {
    if data.validation.is_empty() {
        return Err(TokensError::NoValidation);
    }
    once(recipe, &data.validation, wanted, context)
}

/// Batches of the first `wanted` samples of a view, in order, without augmentation; when the user interrupts, an error
/// in place of the next one.
///
/// # Errors
/// When a loader cannot be started.
pub fn once(
    recipe: &Recipe,
    view: &View,
    wanted: usize,
    context: &Context,
) -> Result<impl Iterator<Item = Result<Batch>> + use<>> {
    let batch_size = recipe.evaluate.batch_size.min(wanted).min(view.len()).max(1);
    let config = LoaderConfig { batch_size, order: Order::Sequential, ..LoaderConfig::default() };
    let mut loader = Loader::new(view, config)?;
    let batches = wanted.min(view.len()).div_ceil(batch_size);
    let interrupt = context.interrupt.clone();
    let next = move || match interrupt.check() {
        Ok(()) => loader.next().map(|batch| Ok(batch?)),
        Err(interrupted) => Some(Err(interrupted.into())),
    };
    Ok(iter::from_fn(next).take(batches))
}

/// Writes the list of samples that were left out as bad, if there are any, beside the stage's output.
///
/// # Errors
/// When it cannot be written.
pub fn report_bad(run: &Run, stage: &str, loader: &Loader) -> Result<()> {
    let bad: Vec<_> = loader.bad().iter().map(|bad| json!({"key": bad.key, "reason": bad.reason})).collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Ok(files::write_json(&run.folder(stage).join("bad.json"), &bad)?),
    }
}
