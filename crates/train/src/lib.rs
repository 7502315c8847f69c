//! Training loops.
#![doc = include_str!("../README.md")]

mod adapter_files;
pub mod adapters;
pub mod classifier;
mod error;
mod loss_terms;
mod optimizer;
pub mod prior;
pub mod tokenizer;
mod train_state;
mod trainer;

pub use error::{Result, TrainError};
pub use loss_terms::LossTerms;
pub use optimizer::Optimizer;
pub use prior::batches::{PriorBatch, PriorBatches};
pub use tokenizer::codebook_monitor::CodebookMonitor;
pub use tokenizer::step::{Step, StepOutput};
pub use train_state::TrainState;
pub use trainer::{Goal, Score, Trainer, Updated, step_back};
