//! The two modalities that a recipe may have tokenizers for: images, and the templates that images are conditioned on.

use vqkit_data::{DataConfig, TemplateKind};

/// What a tokenizer encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    /// Images: `[tokenizer]`.
    Image,
    /// Templates: `[template]`.
    Template,
}

/// Size and channels of a tokenizer's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSpec {
    /// The modality.
    pub modality: Modality,
    /// Width and height in pixels.
    pub size: u32,
    /// Number of channels; for label maps, of labels.
    pub channels: usize,
    /// Whether the input is a label map, which the network receives one-hot.
    pub labels: bool,
}

impl Modality {
    /// Name of its section in a recipe, which is also its stage and its folder in a run.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Image => "tokenizer",
            Self::Template => "template",
        }
    }

    /// Size and channels of its input; for templates where the data has none, those of the images.
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
    /// The size, and the key that it comes from, for messages.
    pub fn describe_size(self) -> String {
        match self.modality {
            Modality::Image => format!("data.image_size is {}", self.size),
            Modality::Template => format!("the templates of condition.template have {} pixels", self.size),
        }
    }

    /// The channels, and the key that they come from, for messages.
    pub fn describe_channels(self) -> String {
        match self.modality {
            Modality::Image => format!("data.color gives {}", self.channels),
            Modality::Template => format!("the templates of condition.template have {} channels", self.channels),
        }
    }

    /// Values per pixel as files hold them: one for a label map.
    pub fn values(self) -> usize {
        if self.labels { 1 } else { self.channels }
    }
}
