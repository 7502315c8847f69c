//! Networks of a recipe, with random weights.

use tch::nn::VarStore;
use vqkit_losses::DiscriminatorObjective;
use vqkit_recipe::{InvalidRequest, Modality, Recipe};
use vqkit_run::Context;
use vqkit_vqvae::Tokenizer;

use crate::error::Result;

/// Builds a tokenizer of a recipe with random weights.
///
/// # Errors
/// When its configuration cannot be built, or the size of the images does not fit its downsampling.
pub fn build(recipe: &Recipe, modality: Modality, context: &Context) -> Result<(VarStore, Tokenizer)> {
    let vs = VarStore::new(context.device);
    let shape = modality.input_spec(&recipe.data);
    let channels = shape.channels as i64;
    let config = recipe.tokenizer(modality)?;
    let tokenizer = config.network.build(&vs.root(), channels, &config.quantizer)?;
    tokenizer.grid_shapes(shape.size.into())?;
    if tokenizer.out_channels() != channels {
        let (name, out) = (modality.stage(), tokenizer.out_channels());
        return Err(InvalidRequest::key(
            format!("{name}.out_ch"),
            format!("is {out}, its images have {channels} channels"),
        )
        .into());
    }
    Ok((vs, tokenizer))
}

/// Builds the discriminator of a tokenizer with random weights, where it has one.
///
/// # Errors
/// When its configuration cannot be built.
pub fn build_discriminator(
    recipe: &Recipe,
    modality: Modality,
    context: &Context,
) -> Result<Option<(VarStore, DiscriminatorObjective)>> {
    let Some(config) = &recipe.tokenizer(modality)?.loss.adversarial else { return Ok(None) };
    let vs = VarStore::new(context.device);
    let discriminator_objective =
        DiscriminatorObjective::new(&vs.root(), modality.input_spec(&recipe.data).channels as i64, &config.objective)?;
    Ok(Some((vs, discriminator_objective)))
}
