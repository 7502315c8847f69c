//! The choices that `[data]` gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Colour mode of the images that a model sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Three channels, red, green and blue; grey images are repeated.
    #[default]
    Rgb,
    /// One channel; colours become luma (ITU-R BT.601).
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

/// Which square is cut out of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The middle.
    #[default]
    Center,
    /// Anywhere: along the longer side, and with `short_side` in both directions.
    Random,
}

/// Filter of the resize, as Pillow's of the same name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Cubic with a = -0.5.
    #[default]
    Bicubic,
    /// Windowed sinc of three lobes.
    Lanczos,
}

/// What to do with an item that cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Stop and name it.
    #[default]
    Fail,
    /// Go on without it, and list it.
    Skip,
}
