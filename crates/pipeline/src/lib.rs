//! From a recipe to pictures: stages, runs, checkpoints, training loops, sampling, the report.
#![doc = include_str!("../README.md")]

mod batches;
mod checkpoint;
mod context;
mod encode;
mod error;
pub mod evaluate;
mod events;
mod files;
pub mod inspect;
mod interrupt;
mod level_usage;
mod load;
mod log;
mod optimizer;
mod pictures;
pub mod pretrained;
mod progress;
mod recipe;
pub mod reconstruct;
mod report;
mod run;
pub mod sample;
pub mod stages;
mod token_file;
pub mod tokenize;
mod train_prior;
mod train_tokenizer;
mod trainer;

pub use context::Context;
pub use error::{PipelineError, Result};
pub use interrupt::Interrupt;
pub use recipe::{Condition, Evaluate, Head, Loss, Precision, Prior, Recipe, Sample, Tokenizer, Train};
pub use run::{Call, Output, Record, Run, StageRecord};
pub use token_file::{TokenHeader, TokenSet};
