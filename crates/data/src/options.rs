//! Choices in `[data]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Colour mode of the images that a model receives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Three channels, red, green and blue; a grey image is repeated in all three.
    #[default]
    Rgb,
    /// One channel; colours are converted to luma (ITU-R BT.601).
    Gray,
}

impl Color {
    /// 3 or 1.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// Which square is cropped from an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The square in the middle.
    #[default]
    Center,
    /// A random square: its position varies along the longer side and, with `short_side`, in both directions.
    Random,
}

/// Filter for resizing, the same as Pillow's filter of that name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// A cubic with a = -0.5.
    #[default]
    Bicubic,
    /// A windowed sinc with three lobes.
    Lanczos,
}

/// What to do with a sample that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Stop with an error that names it.
    #[default]
    Fail,
    /// Continue without it, and list it.
    Skip,
}
