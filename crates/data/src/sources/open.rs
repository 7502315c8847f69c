//! What every source does, and what it is opened with.

use std::{path::PathBuf, sync::Arc};

use crate::{DataError, OnError, PictureReader, Source, TemplateKind};

/// What a member of [`SourceConfig`](crate::SourceConfig) does.
pub(crate) trait OpenSource {
    /// Whether its keys are possible, also beside those of `[data]`.
    fn validate(&self, data: &DataKeys) -> Result<(), DataError>;

    /// What its templates are, where it has any.
    fn template(&self) -> Option<TemplateKind> {
        None
    }

    /// The samples to train on.
    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError>;

    /// The samples for validation, where the source has its own.
    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError>;
}

/// What every source needs to know of `[data]` when it is opened.
pub(crate) struct Opening {
    /// The folder that paths are relative to.
    pub root: PathBuf,
    /// The classes that may occur, where they are known beforehand.
    pub class_names: Option<Vec<String>>,
    /// What reads the pictures.
    pub reader: PictureReader,
    /// Width and height of the images that a model sees, in pixels.
    pub image_size: u32,
    /// Whether a sample without a class is bad.
    pub require_class: bool,
    /// Whether a sample without a caption is bad.
    pub require_caption: bool,
    /// Whether a sample without a template of its own is bad.
    pub require_template: bool,
    /// What to do with an item that cannot be used.
    pub on_error: OnError,
    /// The share of such items above which opening fails all the same.
    pub max_error_rate: f64,
}

/// The keys of `[data]` beside which a source may be impossible.
pub(crate) struct DataKeys {
    /// Width and height of the images that a model sees, in pixels.
    pub image_size: u32,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// Whether the classes are named there.
    pub has_class_names: bool,
}
