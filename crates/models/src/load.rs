//! Trained networks, found through `run.json`.

use std::path::Path;

use tch::nn::VarStore;
use vqkit_priors::Prior;
use vqkit_recipe::{Modality, Recipe, stage_names};
use vqkit_run::{Context, Run, RunError, checkpoint_weights};
use vqkit_vqvae::Tokenizer;

use crate::{build, error::Result, prior_spec::ConditionVocabulary, prior_spec::Tokenizers};

/// The run's trained tokenizer of a modality.
///
/// # Errors
/// When the stage is not done, or its weights do not fit the recipe.
pub fn tokenizer(run: &Run, modality: Modality, context: &Context) -> Result<Tokenizer> {
    Ok(tokenizer_and_variables(run, modality, context)?.1)
}

/// The run's trained tokenizer of a modality, and its variables by name.
///
/// # Errors
/// As [`tokenizer`].
pub fn tokenizer_and_variables(run: &Run, modality: Modality, context: &Context) -> Result<(VarStore, Tokenizer)> {
    let recipe = run.recipe();
    let output = run.require(modality.stage())?;
    let (mut vs, tokenizer) = build::build(recipe, modality, context)?;
    load(&run.path().join(&output.path), &output.fingerprint, &mut vs)?;
    Ok((vs, tokenizer))
}

/// The tokenizer of the images in a checkpoint of `recipe`'s run, whether the run uses that one or not.
///
/// # Errors
/// When its weights cannot be read or do not fit the recipe.
pub fn tokenizer_at(checkpoint: &Path, recipe: &Recipe, context: &Context) -> Result<Tokenizer> {
    let (mut vs, tokenizer) = build::build(recipe, Modality::Image, context)?;
    checkpoint_weights::load_for_use(checkpoint, &mut vs)?;
    Ok(tokenizer)
}

/// The run's trained priors, coarse first.
///
/// # Errors
/// When a stage is not done, or its weights do not fit the recipe.
pub fn priors(run: &Run, facts: ConditionVocabulary, context: &Context) -> Result<Vec<Box<dyn Prior>>> {
    let recipe = run.recipe();
    let tokenizers = Tokenizers::build(recipe, context)?;
    let stages = stage_names::stages(recipe);
    let load_prior = |(level, stage): (usize, &String)| -> Result<Box<dyn Prior>> {
        let output = run.require(stage)?;
        let spec = tokenizers.prior_spec(recipe, level, facts)?;
        let mut vs = VarStore::new(context.device);
        let prior = recipe.priors[level].network.build(&vs.root(), &spec)?;
        load(&run.path().join(&output.path), &output.fingerprint, &mut vs)?;
        Ok(prior)
    };
    stages.iter().enumerate().map(load_prior).collect()
}

fn load(checkpoint: &Path, fingerprint: &str, vs: &mut VarStore) -> Result<()> {
    checkpoint_weights::load_for_use(checkpoint, vs)?;
    if checkpoint_weights::fingerprint(checkpoint)? != fingerprint {
        return Err(RunError::artifact(checkpoint, "its weights changed since the stage was done").into());
    }
    Ok(())
}
