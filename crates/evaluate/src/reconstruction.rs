//! Reconstructions of validation images.

use tch::{Kind, Tensor, no_grad};
use vqkit_data::Dataset;
use vqkit_fidelity::{Extractor, ReconstructionError};
use vqkit_models::{load, perceptual};
use vqkit_quantizer::Mode;
use vqkit_recipe::{InputSpec, Modality};
use vqkit_run::{Context, RgbImage, Run, batch_tensors};
use vqkit_sample::{ShapeAccuracy, ShapeChecker};
use vqkit_tokens::{TokensError, loaders};

use crate::{error::Result, similarity::Compared, similarity::Similarity};

/// Largest number of images that are shown.
const SHOWN: i64 = 8;
/// Factor by which differences are magnified.
pub const MAGNIFIED: f64 = 4.0;

/// Reconstructions of validation images.
pub struct Reconstructed {
    /// Errors of all reconstructions.
    pub error: ReconstructionError,
    /// Similarity of each image and its reconstruction.
    pub similarity: Similarity,
    /// Some images, above their reconstructions and the differences.
    pub picture: RgbImage,
    /// Shape accuracy of the reconstructions.
    pub shape_accuracy: Option<ShapeAccuracy>,
}

/// Measures all validation images or templates of a modality, also by the features of `inception` where it is given.
///
/// # Errors
/// When the tokenizer is not trained, nothing is set aside for validation, or an image cannot be read.
pub fn of_run(
    run: &Run,
    modality: Modality,
    data: &Dataset,
    inception: Option<Extractor>,
    context: &Context,
) -> Result<Reconstructed> {
    let recipe = run.recipe();
    let tokenizer = load::tokenizer(run, modality, context)?;
    let (kind, shape) = (context.kind(recipe.head.precision), modality.input_spec(&recipe.data));
    let total = data.validation.len();
    let mut error = ReconstructionError::new(shape, total, context.device)?;
    if let Some(inception) = inception.filter(|_| shape.channels == 3 && !shape.labels) {
        error.compare_by(inception, total);
    }
    let perceptual = recipe.tokenizer(modality)?.loss.perceptual.as_ref();
    let lpips = perceptual::lpips_at_hand(perceptual, context.device)?;
    let mut similarity = Compared::new(shape, lpips.as_ref());
    let mut picture = None;
    let mut checker = ShapeChecker::of(recipe).filter(|_| modality == Modality::Image);
    for batch in loaders::validation(recipe, data, total, context)? {
        let batch = batch?;
        let images = batch_tensors::of_batch(modality, &batch, context)?;
        let output = no_grad(|| context.autocast(kind, || tokenizer.forward(&images, Mode::Eval)))?;
        error.add(&output.images, &images)?;
        similarity.add(&output.images, &images)?;
        picture.get_or_insert_with(|| with_difference(shape, &images, &output.images));
        if let Some(checker) = &mut checker {
            checker.add_batch(
                &batch_tensors::pictures(shape, &output.images),
                &batch,
                data.validation.class_names(),
            )?;
        }
    }
    let picture = picture.ok_or(TokensError::NoValidation)?;
    let shape_accuracy = checker.and_then(ShapeChecker::finish);
    Ok(Reconstructed { error, similarity: similarity.finish(), picture, shape_accuracy })
}

/// The first images of a batch, their reconstructions, and below them the differences, magnified four times around
/// grey; for label maps, white where the label differs.
fn with_difference(shape: InputSpec, images: &Tensor, reconstructions: &Tensor) -> RgbImage {
    let shown = SHOWN.min(images.size()[0]);
    let [images, reconstructions] =
        [images, reconstructions].map(|tensor| tensor.narrow(0, 0, shown).to_kind(Kind::Float));
    let difference = match shape.labels {
        false => (reconstructions.clamp(-1.0, 1.0) - &images) * (MAGNIFIED * 0.5),
        true => {
            let labels = |tensor: &Tensor| tensor.argmax(1, true);
            labels(&reconstructions).ne_tensor(&labels(&images)).to_kind(Kind::Float) * 2.0 - 1.0
        }
    };
    let rows = [
        batch_tensors::pictures(shape, &images),
        batch_tensors::pictures(shape, &reconstructions),
        RgbImage::from_batch(&difference),
    ];
    RgbImage::grid(&rows.concat(), shown as usize)
}
