//! Checkpoints of other projects, in and out.
#![doc = include_str!("../README.md")]

mod error;
pub mod export;
mod fill;
pub mod import;
mod network_weights;
mod problems;
mod recipe;

pub use error::{InteropError, Result};
pub use export::{Exported, Format};
pub use import::{Imported, Request};
pub use network_weights::{NetworkWeights, network_weights};
pub use problems::Problems;
