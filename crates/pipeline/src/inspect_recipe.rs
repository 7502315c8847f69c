//! `vqkit inspect RECIPE.toml`: what a recipe would build. No prior is built for it, and no data is read.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    context::Context,
    error::Result,
    prior_plan::{self, PriorPlan, count},
    recipe::Recipe,
    stages, taken, train_tokenizer,
};

/// What a recipe would build.
#[derive(Debug, Serialize)]
pub struct RecipePlan {
    /// The name in the recipe.
    pub name: String,
    /// Its stages, in order.
    pub stages: Vec<String>,
    /// Its tokenizer, if it has one.
    pub tokenizer: Option<TokenizerPlan>,
    /// Its priors, coarse first.
    pub priors: Vec<PriorPlan>,
    /// What the figures take for granted.
    pub notes: Vec<String>,
}

/// The tokenizer.
#[derive(Debug, Serialize)]
pub struct TokenizerPlan {
    /// The `type` of its network.
    pub network: &'static str,
    /// Trainable numbers, the discriminator's not among them.
    pub parameters: i64,
    /// Height and width of every level's grid, coarse first.
    pub grids: Vec<Vec<i64>>,
    /// Codes of every codebook, level by level.
    pub sizes: Vec<Vec<i64>>,
}

impl RecipePlan {
    /// Reads a recipe and works out what it would build.
    ///
    /// # Errors
    /// When the recipe is wrong, or cannot be built.
    pub fn read(path: &Path, context: &Context) -> Result<Self> {
        let recipe = taken::resolve(Recipe::read(path, &[])?, None)?;
        stages::check(&recipe, None, context)?;
        let stages = stages::Stage::of(&recipe).iter().map(|stage| stage.name(&recipe)).collect();
        let mut plan =
            Self { name: recipe.head.name.clone(), stages, tokenizer: None, priors: Vec::new(), notes: Vec::new() };
        if recipe.tokenizer.is_none() {
            return Ok(plan);
        }
        let (vs, tokenizer) = train_tokenizer::build(&recipe, context)?;
        let (classes, is_known) = prior_plan::classes(&recipe);
        for level in 0..recipe.priors.len() {
            plan.priors.push(prior_plan::of_level(&recipe, &tokenizer, level, classes)?);
        }
        if !is_known && !plan.priors.is_empty() {
            plan.notes.push(
                "the recipe does not say how many classes there are, and the data was not asked: counted with 1; give \
                 condition.num_classes"
                    .into(),
            );
        }
        plan.tokenizer = Some(TokenizerPlan {
            network: recipe.tokenizer()?.network.type_name(),
            parameters: vs.trainable_variables().iter().map(|variable| variable.numel() as i64).sum(),
            grids: tokenizer.grid_shapes(recipe.data.image_size.into())?,
            sizes: tokenizer.sizes(),
        });
        Ok(plan)
    }
}

impl fmt::Display for RecipePlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "recipe `{}`: {}", self.name, self.stages.join(", "))?;
        if let Some(TokenizerPlan { network, parameters, grids, sizes }) = &self.tokenizer {
            writeln!(out, "tokenizer: {network}, {} parameters", count(*parameters))?;
            for (level, (grid, sizes)) in grids.iter().zip(sizes).enumerate() {
                writeln!(out, "    level {level}: grid {grid:?}, codes {sizes:?}")?;
            }
        }
        self.priors.iter().try_for_each(|prior| prior.fmt(out))?;
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
    }
}
