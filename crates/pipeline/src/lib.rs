//! The stages of an experiment, in order.
#![doc = include_str!("../README.md")]

mod error;
pub mod estimate;
mod experiment;
pub mod inspect;
pub mod propose;
pub mod reconstruct;
pub mod reference;
pub mod report_stage;
mod session;
pub mod stages;

pub use error::{PipelineError, Result};
pub use experiment::Experiment;
pub use inspect::Inspection;
pub use reconstruct::Reconstructed;
pub use session::Session;
pub use stages::Stage;
