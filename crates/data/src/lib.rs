#![doc = include_str!("../README.md")]

mod ahead;
mod bounds;
mod budget;
mod config;
mod dataset;
mod decode;
mod error;
pub mod guess;
mod loader;
mod options;
mod passed_over;
mod permutation;
mod picture;
mod plain;
mod random;
mod reader;
mod resample;
mod resize;
pub mod shapes;
mod source;
mod sources;
mod template;
mod template_kind;
mod template_reader;
mod transform;

/// The folder inside a folder of samples with images for people to look at: no image of the set.
pub const OVERVIEW: &str = "overview";

pub use ahead::read_ahead;
pub use config::DataConfig;
pub use dataset::{Dataset, View};
pub use decode::{Encoding, decode, decode_as_libjpeg, decode_labels, is_picture};
pub use error::{BadFile, DataError};
pub use loader::{Batch, Loader, LoaderConfig, Order, Templates, default_workers};
pub use options::{Color, Crop, Filter, OnError};
pub use passed_over::PassedOver;
pub use permutation::Permutation;
pub use picture::{Picture, Pixels};
pub use plain::read_file;
pub use reader::{Held, PictureReader};
pub use resample::resample;
pub use source::{Sample, Source, SourceInfo};
pub use sources::{
    FilesConfig, FolderConfig, ManifestConfig, NoneConfig, PairsConfig, ShapesConfig, SourceConfig, TarConfig,
};
pub use template::{DownsampledTemplate, EdgesTemplate, GivenTemplate, GrayedTemplate, TemplateConfig};
pub use template_kind::{DepthMap, GrayTemplate, LabelMap, PictureTemplate, TemplateKind};
pub use template_reader::TemplateReader;
pub use transform::{CropRegion, Transform};
