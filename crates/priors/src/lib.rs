#![doc = include_str!("../README.md")]

mod classes;
mod condition;
mod cost;
mod error;
pub mod gpt;
mod kernels;
pub mod pixelcnn;
pub mod pixelsnail;
mod prior;
mod registry;
pub mod sampling;
mod spec;

pub use condition::{Condition, Embedding, Text};
pub use cost::Cost;
pub use error::PriorError;
pub use gpt::{Gpt, Gpt2Config, LlamaConfig, TokenOrder, Vocabulary};
pub use pixelcnn::{GatedPixelCnn, GatedPixelCnnConfig};
pub use pixelsnail::{PixelSnail, PixelSnailConfig};
pub use prior::{Cursor, Prior, PriorLoss};
pub use registry::PriorConfig;
pub use sampling::{CfgSchedule, Given, Sampled, Sampling, SamplingWeights, sample, sample_scored};
pub use spec::{EmbeddingSpec, GridSpec, PriorSpec, TextSpec};
