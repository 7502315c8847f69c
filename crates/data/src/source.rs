//! The interface that every source of images implements.

use crate::{BadFile, DataError, Held, PassedOver, Picture, TemplateKind};

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

    /// The class of the sample at `index`, which is known without reading it.
    fn class(&self, index: usize) -> Option<u32>;

    /// The caption of the sample at `index`, without its image where that can be avoided.
    ///
    /// # Errors
    /// As [`Source::hold`].
    fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(self.hold(index)?.caption.clone())
    }

    /// What was learned about the samples when the source was opened.
    fn info(&self) -> &SourceInfo;
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
pub struct SourceInfo {
    /// The names of the classes, where they have names; the position is the class.
    pub class_names: Vec<String>,
    /// The number of classes; 0 where there are no labels.
    pub num_classes: u32,
    /// Whether any sample has a caption.
    pub has_captions: bool,
    /// What the templates are, where there are any.
    pub template: Option<TemplateKind>,
    /// Items left out when the source was opened, under `on_error = "skip"`.
    pub rejected: Vec<BadFile>,
    /// What is no sample.
    pub passed_over: PassedOver,
    /// BLAKE3 over names, sizes and labels (not over pixels), in hexadecimal.
    pub fingerprint: String,
}
