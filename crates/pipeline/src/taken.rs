//! `tokenizer.from`: a run that uses the trained tokenizer of another, and keeps a copy of it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    error::{PipelineError, Result},
    recipe::{Recipe, TakenTokenizer},
    run::{Output, Run},
    train_tokenizer::STAGE,
    trainer,
};

/// What `origin.json` says of a tokenizer that was copied.
#[derive(Debug, Serialize)]
struct Origin<'t> {
    /// The run, as the recipe named it.
    from: &'t Path,
    /// The checkpoint inside that run.
    checkpoint: &'t str,
    /// Fingerprint of its weights.
    fingerprint: &'t str,
}

/// Puts into a recipe what the run at its `tokenizer.from` says of its tokenizer; other recipes stay as they are. `resumed`:
/// the run that goes on, which has its copy and needs the other no more.
///
/// # Errors
/// [`PipelineError::Usage`] where that run is not there, has no trained tokenizer, or one for other images.
pub fn resolve(mut recipe: Recipe, resumed: Option<&Path>) -> Result<Recipe> {
    let Some(from) = recipe.tokenizer_from.take() else { return Ok(recipe) };
    if let Some(run) = resumed {
        recipe.tokenizer = Run::open(run)?.recipe()?.tokenizer;
        let taken = recipe.tokenizer.as_ref().and_then(|tokenizer| tokenizer.taken.as_ref());
        if taken.is_some_and(|taken| taken.from == from) {
            return Ok(recipe);
        }
    }
    let usage = |reason: String| PipelineError::Usage(format!("tokenizer.from: {reason}"));
    let shown = from.display();
    if !from.exists() {
        return Err(usage(format!("there is no {shown}; give a run with a trained tokenizer")));
    }
    let run = Run::open(&from).map_err(|error| usage(error.to_string()))?;
    let output = run.require(STAGE).map_err(|error| usage(error.to_string()))?;
    let theirs = run.recipe().map_err(|error| usage(error.to_string()))?;
    let images = |recipe: &Recipe| {
        let size = recipe.data.image_size;
        format!("images of {size} x {size} pixels and {} channels", recipe.data.color.channels())
    };
    if images(&theirs) != images(&recipe) {
        let (theirs, ours) = (images(&theirs), images(&recipe));
        return Err(usage(format!("the tokenizer of {shown} takes {theirs}, [data] gives {ours}")));
    }
    let taken = TakenTokenizer { from: from.clone(), fingerprint: output.fingerprint.clone() };
    let tokenizer = theirs.tokenizer().map_err(|error| usage(format!("{shown}: {error}")))?.clone();
    recipe.tokenizer = Some(crate::Tokenizer { taken: Some(taken), ..tokenizer });
    Ok(recipe)
}

/// Copies the tokenizer that the recipe takes into the run.
///
/// # Errors
/// When the other run is gone, or trained further since the recipe was resolved; when a file cannot be written.
pub fn copy(run: &mut Run, taken: &TakenTokenizer) -> Result<Output> {
    run.begin(STAGE)?;
    let (checkpoint, inside) = find(taken)?;
    let origin = Origin { from: &taken.from, checkpoint: &inside, fingerprint: &taken.fingerprint };
    let fingerprint = trainer::fingerprint(&checkpoint)?;
    if fingerprint != taken.fingerprint {
        let reason =
            "its weights are not those that tokenizer.from found: the run was trained anew since; use a new --run";
        return Err(PipelineError::artifact(&checkpoint, reason));
    }
    let copied = trainer::copy_for_use(&checkpoint, &run.folder(STAGE), &origin)?;
    eprintln!("{STAGE:>10} taken from {}", taken.from.display());
    Ok(Output { path: run.relative(&copied), fingerprint })
}

/// The other run's checkpoint: where it is, and its path inside that run.
fn find(taken: &TakenTokenizer) -> Result<(PathBuf, String)> {
    let run = Run::open(&taken.from)?;
    let inside = run.require(STAGE)?.path.clone();
    Ok((taken.from.join(&inside), inside))
}
