//! The kinds of templates that a source can have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DataError;

vqkit_config::tagged! {
    /// The kind of a template, which decides how it is resized and what values it has in a batch.
    pub enum TemplateKind {
        /// A label map, 8-bit grey or palette indices: resized by nearest neighbour, so that values stay whole numbers.
        "labels" => Labels(LabelMap),
        /// Depth or another quantity in grey, 8 or 16 bits: scaled to fill [-1, 1] in every image, resized linearly.
        "depth" => Depth(DepthMap),
        /// An image, such as a sketch: three channels in [-1, 1], resized in the same way as the image.
        "picture" => Picture(PictureTemplate),
        /// A grey image, 8 bits: one channel in [-1, 1], resized in the same way as the image.
        "gray" => Gray(GrayTemplate),
    }
}

/// A label map: how its values become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelMap {
    /// Number of labels, 1 to 256; a sample with a value of `count` or more, after adding `offset`, is bad.
    pub count: u32,
    /// Added to every value in 8-bit arithmetic: with 1, the value 255, which marks unlabelled pixels, becomes label 0.
    /// Default 0.
    #[serde(default)]
    pub offset: u8,
}

/// A depth map; no further keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DepthMap {}

/// An image as a template; no further keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureTemplate {}

/// A grey image as a template; no further keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrayTemplate {}

impl TemplateKind {
    /// Channels of such a template in a batch: 3 for a colour image, else 1.
    pub fn channels(&self) -> usize {
        match self {
            Self::Labels(_) | Self::Depth(_) | Self::Gray(_) => 1,
            Self::Picture(_) => 3,
        }
    }

    /// Checks its values.
    ///
    /// # Errors
    /// [`DataError::Config`] for a label map without labels, or with more than 8 bits can distinguish.
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
