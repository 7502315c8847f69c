//! `vqkit tokenize`: images to token files.

use std::path::Path;

use vqkit_data::{DataConfig, FolderConfig, SourceConfig, TarConfig, View};

use crate::{
    context::Context,
    encode::{Encoder, Split},
    error::{PipelineError, Result},
    files,
    recipe::Recipe,
    run::Run,
};

/// Encodes every image with a run's tokenizer into `train-00000.safetensors` and on inside `out`.
///
/// # Errors
/// When the model is not a run with a trained tokenizer, an image cannot be read, or a file cannot be written.
pub fn write(model: &Path, images: &Path, out: &Path, context: &Context) -> Result<()> {
    let run = Run::open(model)?;
    let recipe = run.recipe()?;
    let view = open_images(&recipe, images)?;
    let encoder = Encoder::of_run(&run, &recipe, context)?;
    files::create_folder(out, |folder| encoder.write_view(folder, Split::Train, &view, None).map(drop))?;
    println!("{} images in {}", view.len(), out.display());
    Ok(())
}

/// A folder of images or tar shards, seen as the recipe's data is: size, colour and resize are the recipe's.
///
/// # Errors
/// When there is nothing to read at `images`.
pub fn open_images(recipe: &Recipe, images: &Path) -> Result<View> {
    let config = DataConfig {
        source: source_at(images)?,
        held_out: None,
        require_class: false,
        class_names: None,
        template: None,
        ..recipe.data.clone()
    };
    Ok(config.open()?.train)
}

/// A folder of images or tar shards as a source.
///
/// # Errors
/// When there is nothing of the kind at `images`.
pub fn source_at(images: &Path) -> Result<SourceConfig> {
    let absolute = std::path::absolute(images).map_err(|source| PipelineError::io("find", images, source))?;
    let train = absolute.to_string_lossy().into_owned();
    match images.extension().is_some_and(|extension| extension == "tar") {
        true => Ok(SourceConfig::Tar(TarConfig { train, held_out: None })),
        false if images.is_dir() => Ok(SourceConfig::Folder(FolderConfig { train: train.into(), held_out: None })),
        false => {
            let message = format!("{} is neither a folder of images nor a tar shard", images.display());
            Err(PipelineError::Usage(message))
        }
    }
}
