//! Where samples come from: one file and one line here for each kind of source.

mod annotation;
mod at_path;
mod captions;
mod catalogue;
mod endings;
mod files;
mod folder;
mod labels;
mod listed;
mod listing;
mod manifest;
mod none;
mod open;
mod pairs;
mod shapes;
mod table;
mod tar;
mod text;

pub use folder::FolderConfig;
pub use listed::FilesConfig;
pub use manifest::ManifestConfig;
pub use none::NoneConfig;
pub use pairs::PairsConfig;
pub use shapes::ShapesConfig;
pub use tar::TarConfig;

pub(crate) use labels::by_name;
pub(crate) use listing::images_under;
pub(crate) use open::{DataKeys, OpenSource, Opening};

vqkit_config::tagged! {
    /// The table `[data.source]`: which kind of source, and its keys.
    pub enum SourceConfig {
        /// Built-in procedural images of coloured shapes; needs no files.
        "shapes" => Shapes(ShapesConfig),
        /// A folder of images, flat or with one sub-folder per class.
        "folder" => Folder(FolderConfig),
        /// Single images, by their paths or by patterns.
        "files" => Files(FilesConfig),
        /// Tar archives in WebDataset layout.
        "tar" => Tar(TarConfig),
        /// A folder of images and a folder of templates with the same names.
        "pairs" => Pairs(PairsConfig),
        /// A CSV, TSV or JSON-lines file with one line per sample.
        "manifest" => Manifest(ManifestConfig),
        /// No samples: the run was imported, and its data is not known.
        "none" => None(NoneConfig),
    }
    pub(crate) fn member -> dyn OpenSource;
}

impl SourceConfig {
    /// Whether there are no samples: `type = "none"`.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None(_))
    }
}
