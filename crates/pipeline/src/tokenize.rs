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

/// Encodes every image with a run's tokenizer into `train-00000.safetensors` and on inside the new folder `out`; returns the number of
/// images that it wrote.
///
/// # Errors
/// When the model is not a run with a trained tokenizer, an image cannot be read, a file cannot be written, or the user leaves.
pub fn write(model: &Path, images: &Path, out: &Path, context: &Context) -> Result<usize> {
    let run = Run::open(model)?;
    let recipe = run.recipe()?;
    let view = open_images(&recipe, images)?;
    let encoder = Encoder::of_run(&run, &recipe, context)?;
    let mut written = 0;
    files::create(out, |folder| {
        written = encoder.write_view(folder, Split::Train, &view, None)?.images;
        Ok(())
    })?;
    Ok(written)
}

/// A folder of images or tar shards, seen as the recipe's data is: size, colour and resize are the recipe's.
///
/// # Errors
/// When there is nothing to read at `images`.
pub fn open_images(recipe: &Recipe, images: &Path) -> Result<View> {
    let config = DataConfig {
        source: source_at(images)?,
        validation: None,
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
    match (images.extension().is_some_and(|extension| extension == "tar"), absolute.to_str()) {
        (true, Some(train)) => Ok(SourceConfig::Tar(TarConfig { train: train.into(), validation: None })),
        (true, None) => {
            let message = format!("the name of {} is not UTF-8, as names of archives must be", images.display());
            Err(PipelineError::Usage(message))
        }
        (false, _) if images.is_dir() => Ok(SourceConfig::Folder(FolderConfig { train: absolute, validation: None })),
        (false, _) => {
            let message = format!("{} is neither a folder of images nor a tar shard", images.display());
            Err(PipelineError::Usage(message))
        }
    }
}
