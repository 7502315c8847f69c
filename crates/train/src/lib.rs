//! Training loops.
#![doc = include_str!("../README.md")]

pub mod classifier;
mod error;
mod loss_terms;
mod optimizer;
pub mod prior;
pub mod tokenizer;
pub mod train_state;
pub mod trainer;

pub use error::{Result, TrainError};
pub use loss_terms::Terms;
pub use optimizer::Optimizer;
pub use prior::batches::{Drawn, PriorBatches};
pub use tokenizer::codebook_monitor::Codebooks;
pub use tokenizer::discriminator_monitor::Watch;
pub use tokenizer::step::{Step, Taken};
pub use train_state::Player;
pub use trainer::{Better, Figure, Trainer};
