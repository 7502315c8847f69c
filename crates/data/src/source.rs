//! The interface that every source of images implements.

use crate::{BadFile, DataError, Held, Picture};
use serde::{Deserialize, Serialize};

/// A finite list of samples with random access, so that order, sharding over ranks and resume are arithmetic.
pub trait Source: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample at `index`, read and decoded at its own size, while memory is set aside for it.
    ///
    /// # Errors
    /// [`DataError::Bad`] where this one sample cannot be used; the others still can.
    fn hold(&self, index: usize) -> Result<Held<Sample>, DataError>;

    /// The image file of the sample at `index` as it lies there; `None` where images are made and not read.
    ///
    /// # Errors
    /// As [`Source::hold`].
    fn encoded(&self, _index: usize) -> Result<Option<Vec<u8>>, DataError> {
        Ok(None)
    }

    /// The name of the sample at `index` within the source, where it is known without reading it.
    fn key(&self, _index: usize) -> Option<&str> {
        None
    }

    /// The caption of the sample at `index`, without its image where that can be avoided.
    ///
    /// # Errors
    /// As [`Source::hold`].
    fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(self.hold(index)?.caption.clone())
    }

    /// What was learned about the samples when the source was opened.
    fn facts(&self) -> &Facts;
}

/// One image and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name within the source: a path without its root, or the key in an archive.
    pub key: String,
    /// The decoded image.
    pub image: Picture,
    /// Its class, from 0.
    pub class: Option<u32>,
    /// What it shows, in words.
    pub caption: Option<String>,
    /// A picture of the same size that the image belongs to: a label map, a depth map, another image.
    pub template: Option<Picture>,
}

/// What a source knows about its samples without decoding them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The names of the classes, where they have names; the position is the class.
    pub class_names: Vec<String>,
    /// The number of classes; 0 where there are no labels.
    pub num_classes: u32,
    /// Whether any sample has a caption.
    pub has_captions: bool,
    /// What the templates are, where there are any.
    pub template: Option<TemplateKind>,
    /// Items left out when the source was opened, under `on_bad = "skip"`.
    pub rejected: Vec<BadFile>,
    /// BLAKE3 over names, sizes and labels (not over pixels), in hexadecimal.
    pub fingerprint: String,
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelMap {
    /// The number of labels; a value of `count` or more, after `offset`, makes the sample bad.
    pub count: u32,
    /// Added to every value in 8-bit arithmetic: with 1, the 255 that marks unlabelled pixels becomes label 0. Default 0.
    #[serde(default)]
    pub offset: u8,
}

/// A depth map: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthMap {}

/// A picture as a template: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureTemplate {}

/// A grey picture as a template: no choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
