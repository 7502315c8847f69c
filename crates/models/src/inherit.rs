//! `tokenizer.from`: a run that uses the trained tokenizer of another run, and keeps a copy of it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use vqkit_recipe::{InheritedTokenizer, InputSpec, InvalidRequest, Modality, Recipe, Tokenizer};
use vqkit_run::{Context, Output, Run, RunError, checkpoint_weights};

use crate::{error::ModelError, error::Result};

/// `origin.json`: where a copied tokenizer comes from.
#[derive(Debug, Serialize)]
struct Origin<'t> {
    /// The run, as the recipe named it.
    from: &'t Path,
    /// The checkpoint inside that run.
    checkpoint: &'t str,
    /// Fingerprint of its weights.
    fingerprint: &'t str,
}

/// Puts into a recipe the tokenizer sections of the runs at its `tokenizer.from` and `template.from`; other recipes do
/// not change. `resumed`: the run that is continued, which has its copies and no longer needs the other runs.
///
/// # Errors
/// [`InvalidRequest`] where such a run does not exist, has no trained tokenizer, or one for images of another size or
/// other channels.
pub fn resolve(mut recipe: Recipe, resumed: Option<&Path>) -> Result<Recipe> {
    if let Some(from) = recipe.tokenizer_from.take() {
        recipe.tokenizer = Some(find_section(&recipe, Modality::Image, from, resumed)?);
    }
    if let Some(from) = recipe.template_from.take() {
        recipe.template = Some(find_section(&recipe, Modality::Template, from, resumed)?);
    }
    Ok(recipe)
}

/// The section of the tokenizer of a modality in the recipe of the run `from`.
fn find_section(recipe: &Recipe, modality: Modality, from: PathBuf, resumed: Option<&Path>) -> Result<Tokenizer> {
    if let Some(run) = resumed {
        let own = Run::open(run)?.recipe().tokenizer(modality)?.clone();
        if own.inherited.as_ref().is_some_and(|own| own.from == from) {
            return Ok(own);
        }
    }
    let usage = |reason: String| ModelError::from(InvalidRequest::key(format!("{}.from", modality.stage()), reason));
    let shown = from.display();
    if !from.exists() {
        return Err(usage(format!("there is no {shown}; give a run with a trained tokenizer")));
    }
    let run = Run::open(&from).map_err(|error| usage(error.to_string()))?;
    let output = run.require(modality.stage()).map_err(|error| usage(error.to_string()))?;
    let theirs = run.recipe();
    let pictures = |recipe: &Recipe| {
        let InputSpec { size, channels, .. } = modality.input_spec(&recipe.data);
        format!("images of {size} x {size} pixels and {channels} channels")
    };
    if pictures(theirs) != pictures(recipe) {
        let (theirs, ours) = (pictures(theirs), pictures(recipe));
        return Err(usage(format!("the tokenizer of {shown} takes {theirs}, this recipe gives {ours}")));
    }
    let inherited = InheritedTokenizer { from: from.clone(), fingerprint: output.fingerprint.clone() };
    let tokenizer = theirs.tokenizer(modality).map_err(|error| usage(format!("{shown}: {error}")))?.clone();
    Ok(Tokenizer { inherited: Some(inherited), ..tokenizer })
}

/// Copies the tokenizer that the recipe inherits into the run.
///
/// # Errors
/// When the other run is gone, or trained further since the recipe was resolved; when a file cannot be written.
pub fn copy(run: &mut Run, modality: Modality, inherited: &InheritedTokenizer, context: &Context) -> Result<Output> {
    let stage = modality.stage();
    run.begin(stage)?;
    let (checkpoint, inside) = find(inherited, stage)?;
    let origin = Origin { from: &inherited.from, checkpoint: &inside, fingerprint: &inherited.fingerprint };
    let fingerprint = checkpoint_weights::fingerprint(&checkpoint)?;
    if fingerprint != inherited.fingerprint {
        let reason = "its weights changed since the recipe was resolved: the run was trained again; start a new run";
        return Err(RunError::artifact(&checkpoint, reason).into());
    }
    let copied = checkpoint_weights::copy_for_use(&checkpoint, &run.make_folder(stage)?, &origin)?;
    context.note(stage, format_args!("inherited from {}", inherited.from.display()));
    Ok(Output { path: run.relative(&copied), fingerprint })
}

/// The other run's checkpoint: its path, and its path inside that run.
fn find(inherited: &InheritedTokenizer, stage: &str) -> Result<(PathBuf, String)> {
    let run = Run::open(&inherited.from)?;
    let inside = run.require(stage)?.path.clone();
    Ok((inherited.from.join(&inside), inside))
}
