//! The classifier of `[features]`, with random weights.

use tch::nn::VarStore;
use vqkit_data::Dataset;
use vqkit_losses::SmallVgg;
use vqkit_recipe::Recipe;
use vqkit_run::Context;

use crate::error::Result;

/// Builds it for the channels and classes of `data`.
///
/// # Errors
/// When the recipe has no `[features]`, or its configuration cannot be built.
pub fn build(recipe: &Recipe, data: &Dataset, context: &Context) -> Result<(VarStore, SmallVgg)> {
    let network = recipe.features()?.network.vgg();
    let vs = VarStore::new(context.device);
    let (channels, classes) = (recipe.data.color.channels() as i64, data.train.num_classes() as i64);
    let network = SmallVgg::new(&vs.root(), channels, classes, &network)?;
    Ok((vs, network))
}
