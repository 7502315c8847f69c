#![doc = include_str!("../README.md")]

mod condition;
mod error;
pub mod pixelcnn;
pub mod pixelsnail;
mod prior;
mod registry;
pub mod sampling;
mod spec;

pub use condition::Condition;
pub use error::PriorError;
pub use pixelcnn::{GatedPixelCnn, GatedPixelCnnConfig};
pub use pixelsnail::{PixelSnail, PixelSnailConfig};
pub use prior::{Cursor, Prior, PriorLoss};
pub use registry::PriorConfig;
pub use sampling::{Given, Sampling, sample};
pub use spec::{GridSpec, PriorSpec};
