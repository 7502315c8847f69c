//! The stages of an experiment, in order.
#![doc = include_str!("../README.md")]

mod error;
pub mod inspect;
pub mod reconstruct;
pub mod report_stage;
pub mod stages;

pub use error::{PipelineError, Result};
pub use inspect::Found;
pub use reconstruct::Reconstructed;
pub use stages::Stage;
