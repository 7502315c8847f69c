//! The tokenizers of a comparison and their images, checked before anything is measured.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::Serialize;
use vqkit_data::{Color, DataConfig, Filter, OnError, View};
use vqkit_models::{ModelError, build};
use vqkit_recipe::{InvalidRequest, Modality, Recipe};
use vqkit_run::{Context, Run};
use vqkit_tokens::encode_folder;
use vqkit_vqvae::TokenizerError;

use crate::{error::Result, tokenizers::request::TokenizerRequest};

/// How a tokenizer gets the images; always the middle square of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preparation {
    /// Width and height in pixels.
    pub image_size: u32,
    /// The short side, to which an image is resized before the square is cropped; equal to the size where all of the
    /// largest middle square is seen.
    pub short_side: u32,
    /// Colour mode.
    pub color: Color,
    /// Filter of the resize, antialiased.
    pub resize: Filter,
}

impl Preparation {
    fn of(data: &DataConfig) -> Self {
        Self {
            image_size: data.image_size,
            short_side: data.short_side.unwrap_or(data.image_size),
            color: data.color,
            resize: data.resize,
        }
    }
}

impl fmt::Display for Preparation {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{0}x{0}", self.image_size)?;
        if self.short_side != self.image_size {
            write!(out, " of {}", self.short_side)?;
        }
        if self.color == Color::Gray {
            out.write_str(" grey")?;
        }
        Ok(())
    }
}

/// What decides which pixels a tokenizer gets from which images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    preparation: Preparation,
    on_error: OnError,
    limits_mb: [u64; 2],
}

/// A tokenizer of a comparison, and its images.
pub struct Subject {
    /// Its name, which no other one has.
    pub name: String,
    /// Its run.
    pub run: Run,
    /// Its recipe, at the size at which it is measured.
    pub recipe: Arc<Recipe>,
    /// The images.
    pub view: View,
}

impl Subject {
    /// Opens every tokenizer of a request and its images; nothing is decoded.
    ///
    /// # Errors
    /// When a path is no run, or its tokenizer is not trained; when there are no images, or a tokenizer cannot take them
    /// at the requested size.
    pub fn open_all(request: &TokenizerRequest, context: &Context) -> Result<Vec<Self>> {
        let mut names = Names::default();
        let mut subjects = Vec::with_capacity(request.tokenizers.len());
        for path in &request.tokenizers {
            let run = Run::open(path)?;
            run.require(Modality::Image.stage())?;
            let recipe = match request.size {
                None => Arc::clone(run.recipe()),
                Some(size) => Arc::new(at_size(&run, size, context)?),
            };
            let view = encode_folder::open_images(&recipe, &request.data)?;
            subjects.push(Self { name: names.take(&recipe.head.name), run, recipe, view });
        }
        Ok(subjects)
    }

    /// How it gets the images.
    pub fn preparation(&self) -> Preparation {
        Preparation::of(&self.recipe.data)
    }

    /// What decides which pixels it gets from which images.
    pub fn reading(&self) -> Reading {
        let data = &self.recipe.data;
        Reading {
            preparation: self.preparation(),
            on_error: data.on_error,
            limits_mb: [data.max_file_mb, data.max_decoded_mb],
        }
    }
}

/// The recipe of a run whose images have another size, which its tokenizer has to take.
fn at_size(run: &Run, size: u32, context: &Context) -> Result<Recipe> {
    let mut recipe = Recipe::clone(run.recipe());
    recipe.data.image_size = size;
    recipe.data.short_side = None;
    recipe.data.resize = Filter::default();
    match build::build(&recipe, Modality::Image, context) {
        Ok(_) => Ok(recipe),
        Err(ModelError::Tokenizer(TokenizerError::Size { factor, .. })) => {
            let run = run.path().display();
            let reason = format!(
                "{size} pixels do not suit {run}: its tokenizer takes sizes that {factor}, its downsampling, divides"
            );
            Err(InvalidRequest::option("size", reason).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Names that are taken.
#[derive(Debug, Default)]
struct Names(HashSet<String>);

impl Names {
    /// The name; where it is taken, with `-2`, `-3` and so on.
    fn take(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        // There are infinitely many numbers.
        names.find(|name| self.0.insert(name.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_are_numbered() {
        let mut names = Names::default();
        let taken = ["a", "b", "a", "a-2", "a"].map(|name| names.take(name));
        assert_eq!(taken, ["a", "b", "a-2", "a-2-2", "a-3"]);
    }
}
