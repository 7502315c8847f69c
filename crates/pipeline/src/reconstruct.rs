//! `vqkit reconstruct`: images beside their reconstructions.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use tch::no_grad;
use vqkit_metrics::PixelError;
use vqkit_models::load;
use vqkit_quantizer::Mode;
use vqkit_recipe::Modality;
use vqkit_run::{Context, RgbImage, Run, files};
use vqkit_tokens::{encode_folder, loaders};
use vqkit_torch::attempt;

use crate::{error::PipelineError, error::Result};

/// What was written.
#[derive(Debug)]
pub struct Reconstructed {
    /// Number of images, without those that could not be read.
    pub images: usize,
    /// PSNR over all of them, in dB.
    pub psnr_db: f64,
}

/// Writes `NAME.png`, original left and reconstruction right, for every image into the new folder `out`.
///
/// # Errors
/// When the model is not a run with a trained tokenizer, an image cannot be read, a file cannot be written, or the user
/// interrupts.
pub fn write(model: &Path, images: &[PathBuf], out: &Path, context: &Context) -> Result<Reconstructed> {
    let run = Run::open(model)?;
    let recipe = run.recipe();
    let view = encode_folder::open_images(recipe, images)?;
    let tokenizer = load::tokenizer(&run, Modality::Image, context)?;
    let (mut error, mut names) = (PixelError::default(), Names::default());
    files::create(out, |folder| {
        for batch in loaders::once(recipe, &view, view.len(), context)? {
            let batch = batch?;
            let originals = context.images(&batch)?;
            let what = format!("the reconstructions of images of shape {:?}", originals.size());
            let forward = || Ok::<_, PipelineError>(no_grad(|| tokenizer.forward(&originals, Mode::Eval))?.images);
            let reconstructions = attempt(what, forward)?;
            error.add(&reconstructions, &originals);
            let pairs = RgbImage::from_batch(&originals).into_iter().zip(RgbImage::from_batch(&reconstructions));
            for (key, (original, reconstruction)) in batch.keys.iter().zip(pairs) {
                let name = names.take(key);
                RgbImage::grid(&[original, reconstruction], 2).write(&folder.join(format!("{name}.png")))?;
            }
        }
        Ok::<_, PipelineError>(())
    })?;
    Ok(Reconstructed { images: names.0.len(), psnr_db: error.psnr_db() })
}

/// Names of files that are taken, in lower case: some file systems do not distinguish case.
#[derive(Debug, Default)]
struct Names(HashSet<String>);

impl Names {
    /// A unique name for a key: the key without its slashes; where that is taken, with `-2`, `-3` and so on.
    fn take(&mut self, key: &str) -> String {
        let plain = key.replace(['/', '\\', '\0'], "_");
        let plain = files::short_name(&plain);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut names = std::iter::once(plain.to_owned()).chain(numbered);
        // There are infinitely many numbers.
        names.find(|name| self.0.insert(name.to_lowercase())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_map_to_one_name_are_numbered() {
        let mut names = Names::default();
        let taken = ["a/b", "a_b", "a\\b", "A_B", "a_b-2", "c"].map(|key| names.take(key));
        assert_eq!(taken, ["a_b", "a_b-2", "a_b-3", "A_B-4", "a_b-2-2", "c"]);
    }

    proptest! {
        #[test]
        fn every_key_has_a_file_of_its_own(keys in prop::collection::vec("[aAb/_\\\\-]{0,3}|[äx]{180,210}", 1..40)) {
            let mut names = Names::default();
            let taken: HashSet<String> = keys.iter().map(|key| names.take(key).to_lowercase()).collect();
            prop_assert_eq!(taken.len(), keys.len());
            prop_assert!(taken.iter().all(|name| name.len() <= 204 && !name.contains(['/', '\\'])));
        }
    }
}
