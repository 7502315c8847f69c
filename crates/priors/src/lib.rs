#![doc = include_str!("../README.md")]

mod condition;
mod cost;
mod error;
pub mod pixelcnn;
mod prior;
mod registry;
pub mod sampling;
mod spec;

pub use condition::Condition;
pub use cost::Cost;
pub use error::PriorError;
pub use pixelcnn::{GatedPixelCnn, GatedPixelCnnConfig};
pub use prior::{Cursor, Prior, PriorLoss};
pub use registry::PriorConfig;
pub use sampling::{Given, Sampling, sample};
pub use spec::{GridSpec, PriorSpec};
