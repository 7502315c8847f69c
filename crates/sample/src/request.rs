//! What to draw.

use vqkit_recipe::{Recipe, Sample};

use crate::{inpaint::InpaintMask, inpaint::KeptTokens, prompt::Prompt, prompt::PromptArgs};

/// What to sample.
#[derive(Debug, Clone)]
pub struct Request {
    /// How many, in what batches, and how each token is drawn.
    pub sample: Sample,
    /// What the pictures are conditioned on.
    pub prompts: Prompts,
    /// What is given of every picture.
    pub keep: Option<InpaintMask>,
}

/// What the pictures are conditioned on.
#[derive(Debug, Clone)]
pub enum Prompts {
    /// As asked, each `each` times in a row.
    PromptArgs {
        /// What is asked for.
        asked: PromptArgs,
        /// Pictures of every prompt, at least 1.
        samples_per_condition: usize,
    },
    /// As a record has them, with what it kept of a picture.
    Recorded(Vec<Prompt>, Option<KeptTokens>),
}

impl Request {
    /// What the recipe asks for.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let prompts = Prompts::PromptArgs {
            asked: PromptArgs::default(),
            samples_per_condition: recipe.sample.samples_per_condition,
        };
        Self { sample: recipe.sample.clone(), prompts, keep: None }
    }

    /// `count` images of a class, by name or number, with the defaults of `[sample]`.
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
