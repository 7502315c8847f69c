//! Trained networks, found through `run.json`.

use std::path::Path;

use vqkit_priors::{GridSpec, Prior, PriorSpec};
use vqkit_vqvae::Tokenizer;

use crate::{
    context::Context,
    error::{PipelineError, Result},
    recipe::Recipe,
    run::Run,
    train_prior, train_tokenizer, trainer,
};

/// The run's trained tokenizer.
///
/// # Errors
/// When the stage is not done, or its weights do not fit the recipe.
pub fn tokenizer(run: &Run, recipe: &Recipe, context: &Context) -> Result<Tokenizer> {
    let output = run.require(train_tokenizer::STAGE)?;
    let (mut vs, tokenizer) = train_tokenizer::build(recipe, context)?;
    load(&run.path().join(&output.path), &output.fingerprint, &mut vs)?;
    Ok(tokenizer)
}

/// The tokenizer of a checkpoint of `recipe`'s run, whether the run uses that one or not.
///
/// # Errors
/// When its weights cannot be read or do not fit the recipe.
pub fn tokenizer_at(checkpoint: &Path, recipe: &Recipe, context: &Context) -> Result<Tokenizer> {
    let (mut vs, tokenizer) = train_tokenizer::build(recipe, context)?;
    trainer::load_for_use(checkpoint, &mut vs)?;
    Ok(tokenizer)
}

/// The run's trained priors, coarse first.
///
/// # Errors
/// When a stage is not done, or its weights do not fit the recipe.
pub fn priors(run: &Run, recipe: &Recipe, num_classes: u32, context: &Context) -> Result<Vec<Box<dyn Prior>>> {
    let (_, tokenizer) = train_tokenizer::build(recipe, context)?;
    let stages = train_prior::stages(recipe);
    let load_prior = |(level, stage): (usize, &String)| -> Result<Box<dyn Prior>> {
        let output = run.require(stage)?;
        let spec = prior_spec(recipe, &tokenizer, level, num_classes)?;
        let mut vs = tch::nn::VarStore::new(context.device);
        let prior = recipe.priors[level].network.build(&vs.root(), &spec)?;
        load(&run.path().join(&output.path), &output.fingerprint, &mut vs)?;
        Ok(prior)
    };
    stages.iter().enumerate().map(load_prior).collect()
}

/// What the prior of a level is built for: its own grid, and the coarser grids as its condition.
///
/// # Errors
/// When the images' size does not fit the tokenizer.
pub fn prior_spec(recipe: &Recipe, tokenizer: &Tokenizer, level: usize, num_classes: u32) -> Result<PriorSpec> {
    let shapes = tokenizer.grid_shapes(recipe.data.image_size.into())?;
    let all_sizes = tokenizer.sizes();
    let spec = |level: usize| GridSpec { sizes: all_sizes[level].clone(), grid: [shapes[level][0], shapes[level][1]] };
    let GridSpec { sizes, grid } = spec(level);
    let num_classes = recipe.condition.class.then_some(num_classes.into());
    Ok(PriorSpec { sizes, grid, num_classes, embedding: None, condition_grids: (0..level).map(spec).collect() })
}

fn load(checkpoint: &Path, fingerprint: &str, vs: &mut tch::nn::VarStore) -> Result<()> {
    trainer::load_for_use(checkpoint, vs)?;
    if trainer::fingerprint(checkpoint)? != fingerprint {
        return Err(PipelineError::artifact(checkpoint, "its weights changed since the stage was done"));
    }
    Ok(())
}
