#![doc = include_str!("../README.md")]

mod ahead;
mod budget;
mod config;
mod dataset;
mod decode;
mod embeddings;
mod error;
mod loader;
mod permutation;
mod picture;
mod plain;
mod random;
mod reader;
mod resample;
pub mod shapes;
mod source;
mod sources;
mod template;
mod transform;

pub use ahead::read_ahead;
pub use config::{Color, Crop, DataConfig, Filter, OnBad};
pub use dataset::{Dataset, View};
pub use decode::{Encoding, decode, decode_as_libjpeg, decode_labels};
pub use embeddings::EmbeddingFile;
pub use error::{BadFile, DataError};
pub use loader::{Batch, Loader, LoaderConfig, Order, Templates, default_workers};
pub use permutation::Permutation;
pub use picture::{Picture, Pixels};
pub use plain::read_file;
pub use reader::{Held, PictureReader};
pub use resample::resample;
pub use source::{DepthMap, Facts, GrayTemplate, LabelMap, PictureTemplate, Sample, Source, TemplateKind};
pub use sources::{FolderConfig, ManifestConfig, PairsConfig, ShapesConfig, SourceConfig, TarConfig};
pub use template::{DownsampledTemplate, EdgesTemplate, GivenTemplate, GrayedTemplate, TemplateConfig, TemplateReader};
pub use transform::{Part, Transform};
