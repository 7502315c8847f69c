//! `vqkit inspect RECIPE.toml`: what a recipe would build. No prior is built for it, and no data is read.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    context::Context,
    domain::Domain,
    error::Result,
    prior_plan::{self, PriorPlan, count},
    prior_spec::{Facts, Tokenizers},
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
    /// That of its templates, if it has one.
    pub template: Option<TokenizerPlan>,
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
        let mut plan = Self {
            name: recipe.head.name.clone(),
            stages,
            tokenizer: None,
            template: None,
            priors: Vec::new(),
            notes: Vec::new(),
        };
        let domains = recipe.domains();
        let of =
            |domain: Domain| domains.contains(&domain).then(|| TokenizerPlan::of(&recipe, domain, context)).transpose();
        (plan.tokenizer, plan.template) = (of(Domain::Images)?, of(Domain::Templates)?);
        if plan.tokenizer.is_none() || recipe.priors.is_empty() {
            return Ok(plan);
        }
        let tokenizers = Tokenizers::build(&recipe, context)?;
        let (facts, unsaid) = Facts::of_recipe(&recipe);
        for level in 0..recipe.priors.len() {
            plan.priors.push(prior_plan::of_level(&recipe, &tokenizers, level, facts)?);
        }
        plan.notes = unsaid.into_iter().map(str::to_owned).collect();
        Ok(plan)
    }
}

impl TokenizerPlan {
    fn of(recipe: &Recipe, domain: Domain, context: &Context) -> Result<Self> {
        let (vs, tokenizer) = train_tokenizer::build(recipe, domain, context)?;
        Ok(Self {
            network: recipe.tokenizer(domain)?.network.type_name(),
            parameters: vs.trainable_variables().iter().map(|variable| variable.numel() as i64).sum(),
            grids: tokenizer.grid_shapes(domain.shape(&recipe.data).size.into())?,
            sizes: tokenizer.sizes(),
        })
    }
}

impl fmt::Display for RecipePlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "recipe `{}`: {}", self.name, self.stages.join(", "))?;
        for (name, plan) in [("tokenizer", &self.tokenizer), ("template", &self.template)] {
            let Some(TokenizerPlan { network, parameters, grids, sizes }) = plan else { continue };
            writeln!(out, "{name}: {network}, {} parameters", count(*parameters))?;
            for (level, (grid, sizes)) in grids.iter().zip(sizes).enumerate() {
                writeln!(out, "    level {level}: grid {grid:?}, codes {sizes:?}")?;
            }
        }
        self.priors.iter().try_for_each(|prior| prior.fmt(out))?;
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
    }
}
