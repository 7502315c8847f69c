//! `vqkit tokenize`: images to token files.

use std::path::{Path, PathBuf};

use vqkit_data::{DataConfig, SourceConfig, View};
use vqkit_recipe::Recipe;
use vqkit_run::{Context, Run, files};

use crate::{encode::Encoder, error::Result, error::TokensError, split::Split};

/// Encodes every image with a run's tokenizer into `train-00000.safetensors` and so on inside the new folder `out`;
/// returns the number of images that it wrote.
///
/// # Errors
/// When the model is not a run with a trained tokenizer, an image cannot be read, a file cannot be written, or the user
/// interrupts.
pub fn write(model: &Path, images: &[PathBuf], out: &Path, context: &Context) -> Result<usize> {
    let run = Run::open(model)?;
    let recipe = run.recipe();
    let view = open_images(recipe, images)?;
    let encoder = Encoder::of_run(&run, context)?;
    let mut written = 0;
    files::create(out, |folder| {
        written = encoder.write_view(folder, Split::Train, &view, None)?.images;
        Ok::<_, TokensError>(())
    })?;
    Ok(written)
}

/// A folder of images or tar shards, prepared like the recipe's data: size, colour and resize are those of the recipe.
///
/// # Errors
/// When there is nothing to read at `images`.
pub fn open_images(recipe: &Recipe, images: &[PathBuf]) -> Result<View> {
    let config = DataConfig {
        source: SourceConfig::at_paths(images)?,
        validation: None,
        require_class: false,
        require_caption: false,
        require_template: false,
        class_names: None,
        template: None,
        ..recipe.data.clone()
    };
    Ok(config.open()?.train)
}
