//! Batches as tensors for encoders, and as RGB images for people.

use tch::{Kind, Tensor};
use vqkit_data::{Batch, TemplateKind};
use vqkit_recipe::{InputSpec, InvalidRequest, Modality};

use crate::{device::Context, error::Result, rgb_image::RgbImage};

/// The input of a modality's encoder, from a batch.
///
/// # Shapes
/// `[B, C, H, W]` in `[-1, 1]`; label maps one-hot.
///
/// # Errors
/// When the batch has no templates, or the device refuses.
pub fn of_batch(modality: Modality, batch: &Batch, context: &Context) -> Result<Tensor> {
    match (modality, &batch.templates) {
        (Modality::Image, _) => context.pixels(&batch.images, batch.shape),
        (Modality::Template, Some(templates)) => {
            Ok(encoder_input(context.pixels(&templates.values, templates.shape)?, &templates.kind))
        }
        (Modality::Template, None) => {
            Err(InvalidRequest::key("condition.template", "the data has no templates").into())
        }
    }
}

/// RGB images of the input of an encoder or the output of a decoder.
///
/// # Shapes
/// `[B, C, H, W]` in `[-1, 1]`; of label maps one-hot or logits.
pub fn pictures(shape: InputSpec, values: &Tensor) -> Vec<RgbImage> {
    match shape.labels {
        false => RgbImage::from_batch(values),
        true => RgbImage::from_labels(&values.argmax(1, false)),
    }
}

/// Templates of a batch, `[B, C', H, W]`, as input of an encoder: label maps one-hot.
pub fn encoder_input(values: Tensor, kind: &TemplateKind) -> Tensor {
    match kind {
        TemplateKind::Labels(map) => values
            .squeeze_dim(1)
            .to_kind(Kind::Int64)
            .one_hot(map.count.into())
            .permute([0, 3, 1, 2])
            .to_kind(Kind::Float),
        _ => values,
    }
}
