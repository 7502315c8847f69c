//! Bits that a prior needs for tokens.

use tch::{Tensor, no_grad};
use vqkit_priors::Prior;
use vqkit_recipe::Recipe;
use vqkit_run::Context;

use crate::{error::Result, level_order, token_set::TokenSet};

/// The bits of a level's tokens per value of an image, of which there are `C · H · W`. `shape`: of the level's grid,
/// `[Q, *S]`.
pub fn bits_per_dim(bits_per_token: f64, shape: &[i64], recipe: &Recipe) -> f64 {
    let dims = f64::from(recipe.data.image_size).powi(2) * recipe.data.color.channels() as f64;
    bits_per_token * shape.iter().product::<i64>() as f64 / dims
}

/// Mean bits per token of `wanted` grids of a set, evenly spread over it, since files are often ordered by class.
///
/// # Errors
/// When libtorch refuses.
pub fn bits_per_token(
    prior: &dyn Prior,
    recipe: &Recipe,
    level: usize,
    tokens: &TokenSet,
    wanted: usize,
    context: &Context,
) -> Result<f64> {
    let wanted = wanted.min(tokens.len());
    let (mut bits, kind) = (0.0, context.kind(recipe.head.precision));
    for start in (0..wanted).step_by(recipe.evaluate.batch_size) {
        let end = wanted.min(start + recipe.evaluate.batch_size);
        let places = (start..end).map(|index| (index * tokens.len() / wanted) as i64).collect::<Vec<_>>();
        let places = Tensor::from_slice(&places);
        context.interrupt.check()?;
        let (target, condition) = level_order::batch(tokens, recipe, level, &places, context.device)?;
        let loss = no_grad(|| context.autocast(kind, || prior.loss(std::slice::from_ref(&target), &condition, false)))?;
        bits += loss.bits_per_token() * (end - start) as f64;
    }
    Ok(bits / wanted as f64)
}
