//! From a recipe or a run to networks.
#![doc = include_str!("../README.md")]

pub mod build;
pub mod classifier;
mod error;
mod evaluation_classifier;
pub mod grids;
pub mod inherit;
pub mod load;
mod open;
pub mod perceptual;
mod prior_spec;

pub use error::{ModelError, Result};
pub use evaluation_classifier::EvaluationClassifier;
pub use open::{TrainedTokenizer, run_around};
pub use prior_spec::{ConditionVocabulary, Tokenizers};
