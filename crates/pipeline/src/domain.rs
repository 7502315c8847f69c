//! The two things that a recipe may have tokenizers of: its images, and the templates that they are conditioned on.

use tch::{Kind, Tensor};
use vqkit_data::{Batch, DataConfig, TemplateKind};

use crate::{
    context::Context,
    error::{PipelineError, Result},
    pictures::Picture,
};

/// What a tokenizer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The images: `[tokenizer]`.
    Images,
    /// The templates: `[template]`.
    Templates,
}

/// What a tokenizer sees, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Whose it is.
    pub domain: Domain,
    /// Width and height in pixels.
    pub size: u32,
    /// Channels; of label maps, the labels.
    pub channels: usize,
    /// Whether these are label maps, seen one-hot.
    pub labels: bool,
}

impl Domain {
    /// Its section in a recipe, which is also its stage and folder in a run.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Images => "tokenizer",
            Self::Templates => "template",
        }
    }

    /// In numbers; templates that the data does not have are as images.
    pub fn shape(self, data: &DataConfig) -> Shape {
        match (self, data.template_kind()) {
            (Self::Templates, Some(kind)) => {
                let (channels, labels) = match &kind {
                    TemplateKind::Labels(map) => (map.count as usize, true),
                    kind => (kind.channels(), false),
                };
                Shape { domain: self, size: data.template_size(), channels, labels }
            }
            _ => {
                let (size, channels) = (data.image_size, data.color.channels());
                Shape { domain: self, size, channels, labels: false }
            }
        }
    }

    /// What the encoder takes of a batch.
    ///
    /// # Shapes
    /// `[B, C, H, W]` in `[-1, 1]`; label maps one-hot.
    ///
    /// # Errors
    /// When the batch has no templates, or the device refuses.
    pub fn of_batch(self, batch: &Batch, context: &Context) -> Result<Tensor> {
        match (self, &batch.templates) {
            (Self::Images, _) => context.pixels(&batch.images, batch.shape),
            (Self::Templates, Some(templates)) => {
                Ok(as_seen(context.pixels(&templates.values, templates.shape)?, &templates.kind))
            }
            (Self::Templates, None) => {
                Err(PipelineError::Usage("condition.template: the data has no templates".into()))
            }
        }
    }
}

impl Shape {
    /// The size as a message says it, by the key that it comes from.
    pub fn size_in_words(self) -> String {
        match self.domain {
            Domain::Images => format!("data.image_size is {}", self.size),
            Domain::Templates => format!("the templates of condition.template have {}", self.size),
        }
    }

    /// The channels as a message says them, by the key that they come from.
    pub fn channels_in_words(self) -> String {
        match self.domain {
            Domain::Images => format!("those of data.color have {}", self.channels),
            Domain::Templates => format!("the templates of condition.template have {}", self.channels),
        }
    }

    /// Values of a pixel as files hold them: a label map has one.
    pub fn values(self) -> usize {
        if self.labels { 1 } else { self.channels }
    }

    /// What people see of what an encoder takes or a decoder gives: `[B, C, H, W]`, of label maps one-hot or logits.
    pub fn pictures(self, values: &Tensor) -> Vec<Picture> {
        match self.labels {
            false => Picture::from_batch(values),
            true => Picture::from_labels(&values.argmax(1, false)),
        }
    }
}

/// Templates `[B, C', H, W]` as they stand in a batch as an encoder takes them.
pub fn as_seen(values: Tensor, kind: &TemplateKind) -> Tensor {
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
