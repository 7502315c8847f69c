//! The two things that a recipe may have tokenizers of: its images, and the templates that they are conditioned on.

use vqkit_data::{DataConfig, TemplateKind};

/// What a tokenizer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    /// The images: `[tokenizer]`.
    Image,
    /// The templates: `[template]`.
    Template,
}

/// What a tokenizer sees, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSpec {
    /// Whose it is.
    pub modality: Modality,
    /// Width and height in pixels.
    pub size: u32,
    /// Channels; of label maps, the labels.
    pub channels: usize,
    /// Whether these are label maps, seen one-hot.
    pub labels: bool,
}

impl Modality {
    /// Its section in a recipe, which is also its stage and folder in a run.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Image => "tokenizer",
            Self::Template => "template",
        }
    }

    /// In numbers; templates that the data does not have are as images.
    pub fn input_spec(self, data: &DataConfig) -> InputSpec {
        match (self, data.template_kind()) {
            (Self::Template, Some(kind)) => {
                let (channels, labels) = match &kind {
                    TemplateKind::Labels(map) => (map.count as usize, true),
                    kind => (kind.channels(), false),
                };
                InputSpec { modality: self, size: data.template_size(), channels, labels }
            }
            _ => {
                let (size, channels) = (data.image_size, data.color.channels());
                InputSpec { modality: self, size, channels, labels: false }
            }
        }
    }
}

impl InputSpec {
    /// The size as a message says it, by the key that it comes from.
    pub fn describe_size(self) -> String {
        match self.modality {
            Modality::Image => format!("data.image_size is {}", self.size),
            Modality::Template => format!("the templates of condition.template have {}", self.size),
        }
    }

    /// The channels as a message says them, by the key that they come from.
    pub fn describe_channels(self) -> String {
        match self.modality {
            Modality::Image => format!("those of data.color have {}", self.channels),
            Modality::Template => format!("the templates of condition.template have {}", self.channels),
        }
    }

    /// Values of a pixel as files hold them: a label map has one.
    pub fn values(self) -> usize {
        if self.labels { 1 } else { self.channels }
    }
}
