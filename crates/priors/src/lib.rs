#![doc = include_str!("../README.md")]

pub mod autoregressive;
mod build;
mod classes;
mod condition;
mod cost;
mod cursor;
mod error;
pub mod gpt;
mod grid_spec;
mod kernels;
mod known_tokens;
mod levels;
mod limits;
mod loss;
mod options;
pub mod pixelcnn;
pub mod pixelsnail;
mod prior;
mod registry;
mod spec;

pub use build::BuildPrior;
pub use condition::{Condition, Embedding, Text};
pub use cost::Cost;
pub use cursor::Cursor;
pub use error::PriorError;
pub use gpt::{Gpt, Gpt2Config, LlamaConfig, TokenOrder, Vocabulary};
pub use grid_spec::GridSpec;
pub use known_tokens::KnownTokens;
pub use levels::check_predicts;
pub use loss::PriorLoss;
pub use options::{AutoregressiveSampling, CfgSchedule, SampleOptions, Sampled, Sampling, WeightDtype};
pub use pixelcnn::{GatedPixelCnn, GatedPixelCnnConfig};
pub use pixelsnail::{PixelSnail, PixelSnailConfig};
pub use prior::{Autoregressive, Prior};
pub use registry::PriorConfig;
pub use spec::{EmbeddingSpec, PriorSpec, TextSpec};
