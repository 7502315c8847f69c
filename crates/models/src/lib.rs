//! From a recipe or a run to networks.
#![doc = include_str!("../README.md")]

pub mod build;
pub mod classifier;
pub mod download;
mod error;
pub mod grids;
pub mod inherit;
pub mod load;
pub mod open;
pub mod perceptual;
mod prior_spec;

pub use download::Cache;

pub use download::KnownFile;
pub use error::{ChecksumError, FetchError, ModelError, Result};
pub use open::TrainedTokenizer;
pub use prior_spec::{ConditionVocabulary, Tokenizers};
