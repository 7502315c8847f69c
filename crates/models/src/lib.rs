//! From a recipe or a run to networks.
#![doc = include_str!("../README.md")]

pub mod build;
pub mod classifier;
pub mod download;
mod error;
pub mod grids;
pub mod hub;
pub mod inherit;
pub mod load;
mod open;
pub mod perceptual;
mod prior_spec;
pub mod published;

pub use download::{Cache, KnownFile, Obtained};
pub use error::{ChecksumError, FetchError, HubError, HubProblem, ModelError, Result};
pub use open::{TrainedTokenizer, run_around};
pub use prior_spec::{ConditionVocabulary, Tokenizers};
pub use published::Published;
