//! What to generate.

use vqkit_recipe::{Recipe, Sample};

use crate::{inpaint::InpaintMask, inpaint::KeptTokens, prompt::Prompt, prompt::PromptArgs};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Request {
    /// How many images, in what batches, and how each token is sampled.
    pub sample: Sample,
    /// What the images are conditioned on.
    pub prompts: Prompts,
    /// The part of an image that is kept in every generated image.
    pub keep: Option<InpaintMask>,
}

/// What the images are conditioned on.
#[derive(Debug, Clone)]
pub enum Prompts {
    /// Requested conditions, each for `each` consecutive images.
    PromptArgs {
        /// The requested conditions.
        asked: PromptArgs,
        /// Images per prompt, at least 1.
        samples_per_condition: usize,
    },
    /// The prompts of a record, with the tokens that it kept of an image.
    Recorded(Vec<Prompt>, Option<KeptTokens>),
}

impl Request {
    /// The request that the recipe specifies.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let prompts = Prompts::PromptArgs {
            asked: PromptArgs::default(),
            samples_per_condition: recipe.sample.samples_per_condition,
        };
        Self { sample: recipe.sample.clone(), prompts, keep: None }
    }

    /// `count` images of a class, by name, with the defaults of `[sample]`.
    pub fn of_class(class: &str, count: usize) -> Self {
        let asked = PromptArgs { class: Some(class.to_owned()), ..PromptArgs::default() };
        Self::of_prompt(asked, count)
    }

    /// `count` images of a prompt, with the defaults of `[sample]`.
    pub fn of_prompt(asked: PromptArgs, count: usize) -> Self {
        let sample = Sample { count, ..Sample::default() };
        Self { sample, prompts: Prompts::PromptArgs { asked, samples_per_condition: 1 }, keep: None }
    }
}
