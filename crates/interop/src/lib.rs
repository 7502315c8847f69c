//! Checkpoints of other projects, in and out.
#![doc = include_str!("../README.md")]

mod config_file;
mod error;
mod examine;
pub mod export;
mod families;
mod fill;
mod foreign_file;
pub mod import;
mod locate;
mod network_weights;
mod problems;
mod reading;
mod recipe;
mod recognition;
mod weight_set;

pub use config_file::{ForeignConfig, parse};
pub use error::{InteropError, Result};
pub use examine::Hints;
pub use export::{Exported, Format};
pub use foreign_file::{ForeignFile, ForeignTensor};
pub use import::{Imported, Request};
pub use locate::checkpoints;
pub use network_weights::{NetworkWeights, network_weights};
pub use problems::Problems;
pub use reading::Part;
pub use recognition::{NetworkSummary, Recognition};
pub use weight_set::Weights;
