//! From a recipe to pictures: stages, runs, checkpoints, training loops, sampling, the report.
#![doc = include_str!("../README.md")]

mod batches;
mod charts;
mod checked;
mod checkpoint;
mod codebook_atlas;
mod codebook_picture;
mod codebook_watch;
pub mod codebooks;
mod collapse;
mod conditioner;
mod context;
mod domain;
mod encode;
mod error;
pub mod evaluate;
mod events;
mod files;
mod finetune;
pub mod inspect;
mod inspect_data;
mod inspect_recipe;
mod interrupt;
mod level_usage;
mod load;
mod log;
mod optimizer;
mod painter;
mod perceptual;
mod pictures;
mod player;
pub mod pretrained;
mod prior_batches;
mod prior_plan;
mod prior_spec;
mod progress;
mod recipe;
pub mod reconstruct;
mod reconstruction_error;
mod report;
mod rows;
mod run;
pub mod sample;
pub mod sets;
pub mod stages;
mod taken;
pub mod terminal;
mod terms;
mod text_tokenizer;
mod token_file;
mod token_set;
pub mod tokenize;
mod tokenizer_step;
mod train_features;
mod train_prior;
mod train_tokenizer;
mod trainer;
mod watch;

pub use checked::{Checked, Share};
pub use context::Context;
pub use domain::{Domain, Shape};
pub use error::{PipelineError, Result};
pub use files::{abandon_all, check_free};
pub use interrupt::Interrupt;
pub use player::Player;
pub use recipe::{
    Classifier, Condition, EmbeddingCondition, Evaluate, Features, Head, Loss, Precision, Prior, Recipe, Sample,
    TakenTokenizer, TextCondition, TokenSource, Tokenizer, Train,
};
pub use report::comparison::{Compared, Comparison};
pub use run::{Call, Output, Record, Run, StageRecord};
pub use taken::resolve;
pub use terms::Terms;
pub use token_file::TokenHeader;
pub use token_set::TokenSet;
pub use tokenizer_step::{Step, Taken};
