//! How an image file holds its pixels.

use std::fmt;

use image::ImageFormat;
use serde::{Deserialize, Serialize};

/// Whether an image file gives back the pixels that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JPEG, which changes pixels: two sets of images that differ in nothing else differ in that.
    Jpeg,
    /// PNG.
    Png,
    /// Another.
    Other,
}

impl Encoding {
    /// Of the first bytes of a file; the content decides, not the name.
    ///
    /// ```
    /// assert_eq!(vqkit_data::Encoding::of(b"\x89PNG\r\n\x1a\n"), vqkit_data::Encoding::Png);
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Self::Jpeg,
            Ok(ImageFormat::Png) => Self::Png,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Other => "another format",
        })
    }
}
