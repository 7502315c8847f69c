//! What to draw.

use vqkit_recipe::{Recipe, Sample};

use crate::{inpaint::Keep, inpaint::Kept, prompt::Asked, prompt::Prompt};

/// What to sample.
#[derive(Debug, Clone)]
pub struct Request {
    /// How many, in what batches, and how each token is drawn.
    pub sample: Sample,
    /// What the pictures are conditioned on.
    pub prompts: Prompts,
    /// What is given of every picture.
    pub keep: Option<Keep>,
}

/// What the pictures are conditioned on.
#[derive(Debug, Clone)]
pub enum Prompts {
    /// As asked, each `each` times in a row.
    Asked {
        /// What is asked for.
        asked: Asked,
        /// Pictures of every prompt, at least 1.
        samples_per_condition: usize,
    },
    /// As a record has them, with what it kept of a picture.
    Recorded(Vec<Prompt>, Option<Kept>),
}

impl Request {
    /// What the recipe asks for.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let prompts =
            Prompts::Asked { asked: Asked::default(), samples_per_condition: recipe.sample.samples_per_condition };
        Self { sample: recipe.sample.clone(), prompts, keep: None }
    }

    /// `count` images of a class, by name or number, with the defaults of `[sample]`.
    pub fn of_class(class: &str, count: usize) -> Self {
        let asked = Asked { class: Some(class.to_owned()), ..Asked::default() };
        Self::of_prompt(asked, count)
    }

    /// `count` images of a prompt, with the defaults of `[sample]`.
    pub fn of_prompt(asked: Asked, count: usize) -> Self {
        let sample = Sample { count, ..Sample::default() };
        Self { sample, prompts: Prompts::Asked { asked, samples_per_condition: 1 }, keep: None }
    }
}
