//! `vqkit inspect RECIPE.toml`: what a recipe would build. No prior is built for it, and no data is read.

use std::{fmt, path::Path};

use serde::Serialize;
use vqkit_models::{ConditionVocabulary, Tokenizers, build, inherit};
use vqkit_recipe::{Modality, Recipe};
use vqkit_run::Context;

use crate::{error::Result, inspect::prior, inspect::prior::PriorPlan, inspect::prior::count, stages};

/// What a recipe would build.
#[derive(Debug, Serialize)]
pub struct RecipePlan {
    /// The name in the recipe.
    pub name: String,
    /// Its stages, in order.
    pub stages: Vec<String>,
    /// The tokenizer of images, if there is one.
    pub tokenizer: Option<TokenizerPlan>,
    /// The tokenizer of templates, if there is one.
    pub template: Option<TokenizerPlan>,
    /// Its priors, coarse first.
    pub priors: Vec<PriorPlan>,
    /// Assumptions behind the numbers.
    pub notes: Vec<String>,
}

/// The tokenizer.
#[derive(Debug, Serialize)]
pub struct TokenizerPlan {
    /// The `type` of its network.
    pub network: &'static str,
    /// Number of trainable parameters, without the discriminator.
    pub parameters: i64,
    /// Height and width of every level's grid, coarse first.
    pub grids: Vec<[i64; 2]>,
    /// Codes of every codebook, level by level.
    pub sizes: Vec<Vec<i64>>,
    /// Bits of an image's tokens, at fixed length.
    pub bits_per_image: f64,
    /// The same per pixel.
    pub bits_per_pixel: f64,
    /// Bits of the image's values at 8 bits each, divided by those of its tokens.
    pub compression: f64,
}

impl RecipePlan {
    /// Reads a recipe and works out what it would build.
    ///
    /// # Errors
    /// When the recipe is wrong, or cannot be built.
    pub fn read(path: &Path, context: &Context) -> Result<Self> {
        let recipe = inherit::resolve(Recipe::read(path, &[])?, None)?;
        stages::check(&recipe, context)?;
        let stages = stages::Stage::of(&recipe).iter().map(|stage| stage.name(&recipe)).collect();
        let mut plan = Self {
            name: recipe.head.name.clone(),
            stages,
            tokenizer: None,
            template: None,
            priors: Vec::new(),
            notes: Vec::new(),
        };
        let modalities = recipe.modalities();
        let of = |modality: Modality| {
            modalities.contains(&modality).then(|| TokenizerPlan::of(&recipe, modality, context)).transpose()
        };
        (plan.tokenizer, plan.template) = (of(Modality::Image)?, of(Modality::Template)?);
        if plan.tokenizer.is_none() || recipe.priors.is_empty() {
            return Ok(plan);
        }
        let tokenizers = Tokenizers::build(&recipe, context)?;
        let (facts, unsaid) = ConditionVocabulary::of_recipe(&recipe);
        for level in 0..recipe.priors.len() {
            plan.priors.push(prior::of_level(&recipe, &tokenizers, level, facts)?);
        }
        plan.notes = unsaid.into_iter().map(str::to_owned).collect();
        Ok(plan)
    }
}

impl TokenizerPlan {
    /// The tokenizer of a modality, with arbitrary weights.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn of(recipe: &Recipe, modality: Modality, context: &Context) -> Result<Self> {
        let (vs, tokenizer) = build::build(recipe, modality, context)?;
        let shape = modality.input_spec(&recipe.data);
        let (grids, sizes) = (tokenizer.grid_shapes(shape.size.into())?, tokenizer.codebook_sizes());
        let bits_of = |(grid, sizes): (&[i64; 2], &Vec<i64>)| {
            grid.iter().product::<i64>() as f64 * sizes.iter().map(|size| (*size as f64).log2()).sum::<f64>()
        };
        let bits_per_image: f64 = grids.iter().zip(&sizes).map(bits_of).sum();
        let pixels = f64::from(shape.size).powi(2);
        Ok(Self {
            bits_per_pixel: bits_per_image / pixels,
            compression: pixels * 8.0 * shape.values() as f64 / bits_per_image,
            bits_per_image,
            network: recipe.tokenizer(modality)?.network.type_name(),
            parameters: vs.trainable_variables().iter().map(|variable| variable.numel() as i64).sum(),
            grids,
            sizes,
        })
    }
}

impl fmt::Display for RecipePlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "recipe `{}`: {}", self.name, self.stages.join(", "))?;
        for (name, plan) in [("tokenizer", &self.tokenizer), ("template", &self.template)] {
            plan.as_ref().map_or(Ok(()), |plan| write!(out, "{name}: {plan}"))?;
        }
        self.priors.iter().try_for_each(|prior| prior.fmt(out))?;
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
    }
}

impl fmt::Display for TokenizerPlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { network, parameters, grids, sizes, bits_per_image, bits_per_pixel, compression } = self;
        writeln!(out, "{network}, {} parameters", count(*parameters))?;
        for (level, (grid, sizes)) in grids.iter().zip(sizes).enumerate() {
            writeln!(out, "    level {level}: grid {grid:?}, codes {sizes:?}")?;
        }
        writeln!(
            out,
            "    {bits_per_image:.0} bits per image, {bits_per_pixel:.4} per pixel: 1 to {compression:.1} of its 8-bit values"
        )
    }
}
