//! What the templates of a source are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DataError;

vqkit_config::tagged! {
    /// What a template is, which decides how it is resized and what values it becomes in a batch.
    pub enum TemplateKind {
        /// A label map, 8-bit grey or palette indices: resized by nearest neighbour, values stay whole numbers.
        "labels" => Labels(LabelMap),
        /// Depth or another quantity in grey, 8 or 16 bits: stretched to [-1, 1] per picture, resized linearly.
        "depth" => Depth(DepthMap),
        /// A picture, such as a sketch: three channels in [-1, 1], resized as the image is.
        "picture" => Picture(PictureTemplate),
        /// A picture in grey, 8 bits: one channel in [-1, 1], resized as the image is.
        "gray" => Gray(GrayTemplate),
    }
}

/// How the values of a label map become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelMap {
    /// The number of labels; a value of `count` or more, after `offset`, makes the sample bad.
    pub count: u32,
    /// Added to every value in 8-bit arithmetic: with 1, the 255 that marks unlabelled pixels becomes label 0. Default 0.
    #[serde(default)]
    pub offset: u8,
}

/// A depth map: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DepthMap {}

/// A picture as a template: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureTemplate {}

/// A grey picture as a template: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrayTemplate {}

impl TemplateKind {
    /// Channels of such a template in a batch: 1, or 3 for a picture.
    pub fn channels(&self) -> usize {
        match self {
            Self::Labels(_) | Self::Depth(_) | Self::Gray(_) => 1,
            Self::Picture(_) => 3,
        }
    }

    /// Whether its values can be used.
    ///
    /// # Errors
    /// [`DataError::Config`] for a label map without labels, or with more than 8 bits can tell apart.
    pub fn validate(&self) -> Result<(), DataError> {
        match self {
            Self::Labels(map) if !(1..=256).contains(&map.count) => Err(DataError::config(
                "source.template.count",
                format!("a label map has 1 to 256 labels, found {}", map.count),
            )),
            _ => Ok(()),
        }
    }
}
