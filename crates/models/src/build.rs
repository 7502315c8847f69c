//! Networks of a recipe, with random weights.

use tch::nn::VarStore;
use vqkit_losses::DiscriminatorObjective;
use vqkit_recipe::{Domain, InvalidRequest, Recipe};
use vqkit_run::Context;
use vqkit_vqvae::Tokenizer;

use crate::error::Result;

/// Builds a tokenizer of a recipe with random weights.
///
/// # Errors
/// When its configuration cannot be built, or the pictures' size does not fit its downsampling.
pub fn build(recipe: &Recipe, domain: Domain, context: &Context) -> Result<(VarStore, Tokenizer)> {
    let vs = VarStore::new(context.device);
    let shape = domain.shape(&recipe.data);
    let channels = shape.channels as i64;
    let config = recipe.tokenizer(domain)?;
    let tokenizer = config.network.build(&vs.root(), channels, &config.quantizer)?;
    tokenizer.grid_shapes(shape.size.into())?;
    if tokenizer.out_channels() != channels {
        let (name, out) = (domain.stage(), tokenizer.out_channels());
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
pub fn build_adversary(
    recipe: &Recipe,
    domain: Domain,
    context: &Context,
) -> Result<Option<(VarStore, DiscriminatorObjective)>> {
    let Some(config) = &recipe.tokenizer(domain)?.loss.adversarial else { return Ok(None) };
    let vs = VarStore::new(context.device);
    let adversary = DiscriminatorObjective::new(&vs.root(), domain.shape(&recipe.data).channels as i64, &config.game)?;
    Ok(Some((vs, adversary)))
}
