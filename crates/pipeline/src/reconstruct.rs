//! `vqkit reconstruct`: images beside what the tokenizer makes of them.

use std::path::Path;

use tch::no_grad;
use vqkit_metrics::PixelError;
use vqkit_quantizer::Mode;

use crate::{
    batches,
    context::Context,
    domain::Domain,
    error::{PipelineError, Result},
    files, load,
    pictures::Picture,
    run::Run,
    tokenize,
};

/// Writes `NAME.png`, original left and reconstruction right, for every image, and prints the PSNR of all.
///
/// # Errors
/// When the model is not a run with a trained tokenizer, an image cannot be read, or a file cannot be written.
pub fn write(model: &Path, images: &Path, out: &Path, context: &Context) -> Result<()> {
    let run = Run::open(model)?;
    let recipe = run.recipe()?;
    let view = tokenize::open_images(&recipe, images)?;
    let tokenizer = load::tokenizer(&run, &recipe, Domain::Images, context)?;
    let mut error = PixelError::default();
    files::create_folder(out, |folder| {
        for batch in batches::once(&recipe, &view, view.len())? {
            let batch = batch?;
            let originals = context.images(&batch)?;
            let reconstructions = no_grad(|| tokenizer.forward(&originals, Mode::Eval))?.images;
            error.add(&reconstructions, &originals);
            let pairs = Picture::from_batch(&originals).into_iter().zip(Picture::from_batch(&reconstructions));
            for (key, (original, reconstruction)) in batch.keys.iter().zip(pairs) {
                let name = key.replace(['/', '\\'], "_");
                Picture::grid(&[original, reconstruction], 2).write(&folder.join(format!("{name}.png")))?;
            }
            if context.interrupt.is_set() {
                return Err(PipelineError::Interrupted);
            }
        }
        Ok(())
    })?;
    println!("{} images, {:.2} dB, in {}", view.len(), error.psnr_db(), out.display());
    Ok(())
}
