//! Where samples come from: one file and one line here for each kind of source.

mod at_path;
mod catalogue;
mod files;
mod folder;
mod labels;
mod manifest;
mod pairs;
mod shapes;
mod tar;

use std::{path::PathBuf, sync::Arc};

pub use folder::FolderConfig;
pub use manifest::ManifestConfig;
pub use pairs::PairsConfig;
pub use shapes::ShapesConfig;
pub use tar::TarConfig;

pub(crate) use labels::by_name;

use crate::{DataConfig, DataError, PictureReader, Source, TemplateKind};

vqkit_config::tagged! {
    /// The table `[data.source]`: which kind of source, and its keys.
    pub enum SourceConfig {
        /// Procedural pictures of coloured shapes; no files.
        "shapes" => Shapes(ShapesConfig),
        /// A folder of images, flat or with one sub-folder per class.
        "folder" => Folder(FolderConfig),
        /// Tar archives in WebDataset layout.
        "tar" => Tar(TarConfig),
        /// A folder of images and a folder of templates with the same names.
        "pairs" => Pairs(PairsConfig),
        /// A CSV, TSV or JSON-lines file with a line per sample.
        "manifest" => Manifest(ManifestConfig),
    }
    macro each_source;
}

impl SourceConfig {
    /// The member's own configuration.
    pub(crate) fn member(&self) -> &dyn OpenSource {
        each_source!(self, |config| config)
    }
}

/// What a member of [`SourceConfig`] does.
pub(crate) trait OpenSource {
    /// Whether its keys are possible, also beside those of `[data]`.
    fn validate(&self, data: &DataConfig) -> Result<(), DataError>;

    /// What its templates are, where it has any.
    fn template(&self) -> Option<TemplateKind> {
        None
    }

    /// The samples to train on.
    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError>;

    /// The samples held out, where the source has its own.
    fn held_out(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError>;
}

/// What every source needs to know of `[data]` when it is opened.
pub(crate) struct Opening {
    /// The folder that paths are relative to.
    pub root: PathBuf,
    /// The classes that may occur, where they are known beforehand.
    pub class_names: Option<Vec<String>>,
    /// What reads the pictures.
    pub reader: PictureReader,
    /// The whole section.
    pub data: DataConfig,
}
