//! A trained tokenizer for use in another program: from a run, or from one of its checkpoints.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tch::{Kind, Tensor, no_grad};
use vqkit_data::Transform;
use vqkit_recipe::{Modality, Recipe};
use vqkit_run::{Context, RgbImage, Run, RunError, batch_tensors};
use vqkit_torch::Tokens;
use vqkit_vqvae::Tokenizer;

use crate::{error::Result, grids, load};

/// A trained tokenizer of images, with the recipe that describes its input. It owns everything it needs.
///
/// ```no_run
/// use vqkit_models::TrainedTokenizer;
/// use vqkit_run::{Context, RgbImage};
///
/// let tokenizer = TrainedTokenizer::open("runs/demo".as_ref(), &Context::silent("auto")?)?;
/// let picture = RgbImage::read("picture.png".as_ref(), &Default::default())?;
/// let tokens = tokenizer.encode(&picture)?;
/// tokenizer.decode(&tokens)?[0].write("again.png".as_ref())?;
/// # Ok::<(), vqkit_models::ModelError>(())
/// ```
#[derive(Debug)]
pub struct TrainedTokenizer {
    network: Tokenizer,
    recipe: Arc<Recipe>,
    context: Context,
}

impl TrainedTokenizer {
    /// Opens the tokenizer of a run, or of a checkpoint in the run's folder `tokenizer/`: the checkpoint's folder, or a
    /// file of weights in it.
    ///
    /// # Errors
    /// When `path` is neither, its tokenizer is not trained, or the weights do not fit the run's recipe.
    pub fn open(path: &Path, context: &Context) -> Result<Self> {
        if Run::find(path)? {
            let run = Run::open(path)?;
            let network = load::tokenizer(&run, Modality::Image, context)?;
            return Ok(Self { network, recipe: Arc::clone(run.recipe()), context: context.clone() });
        }
        let checkpoint = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        let missing = || RunError::artifact(path, "is neither a run nor a checkpoint in the folder tokenizer/ of one");
        let run = Run::open(&run_around(checkpoint).ok_or_else(missing)?)?;
        let recipe = Arc::clone(run.recipe());
        let network = load::tokenizer_at(checkpoint, &recipe, context)?;
        Ok(Self { network, recipe, context: context.clone() })
    }

    /// The recipe that it was trained with.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network.
    pub fn network(&self) -> &Tokenizer {
        &self.network
    }

    /// The tokens of an image, level by level, coarse first; the image is resized and cropped like the recipe's data.
    ///
    /// # Shapes
    /// Of each level `[1, Q, H', W']`, i64.
    ///
    /// # Errors
    /// When the image has no pixels, or libtorch refuses.
    pub fn encode(&self, picture: &RgbImage) -> Result<Tokens> {
        let transform = Transform::new(&self.recipe.data);
        let (size, channels) = (transform.size(), transform.channels());
        let values = transform.image(&picture.to_data()?)?;
        self.encode_batch(&self.context.pixels(&values, [1, channels, size, size])?)
    }

    /// The tokens of a batch `[B, C, H, W]` in `[-1, 1]`, level by level, coarse first.
    ///
    /// # Errors
    /// When the network cannot take the images.
    pub fn encode_batch(&self, images: &Tensor) -> Result<Tokens> {
        grids::grids(&self.network, images, self.kind(), &self.context)
    }

    /// Decodes tokens into images.
    ///
    /// # Errors
    /// When these are not tokens of this tokenizer.
    pub fn decode(&self, tokens: &Tokens) -> Result<Vec<RgbImage>> {
        let images = no_grad(|| self.context.autocast(self.kind(), || self.network.decode(tokens)))?;
        Ok(batch_tensors::pictures(Modality::Image.input_spec(&self.recipe.data), &images))
    }

    fn kind(&self) -> Kind {
        self.context.kind(self.recipe.head.precision)
    }
}

/// The run that contains a checkpoint of its stage `tokenizer`.
pub fn run_around(checkpoint: &Path) -> Option<PathBuf> {
    let path = checkpoint.canonicalize().ok()?;
    let stage = path.parent()?;
    let run = stage.parent()?;
    (stage.ends_with(Modality::Image.stage()) && run.join("run.json").is_file()).then(|| run.to_owned())
}
