//! What an experiment is: one TOML file, validated once.
#![doc = include_str!("../README.md")]

mod classifier;
mod condition;
mod error;
mod loss;
mod modality;
mod pretrained;
mod recipe;
mod sections;
pub mod stage_names;
mod tokenizer;
mod train;

pub use classifier::{Classifier, Features};
pub use condition::{Condition, EmbeddingCondition, TextCondition};
pub use error::{InvalidRequest, RecipeError, Result};
pub use loss::{Adversarial, Loss, LpipsConfig, OpponentTrain, PerceptualConfig, Pixels, VggConfig};
pub use modality::{Domain, Shape};
pub use pretrained::TakenTokenizer;
pub use recipe::{Head, Prior, Recipe};
pub use sections::{Evaluate, Precision, Sample, TokenSource};
pub use tokenizer::{Finetune, FinetunedPart, FreshOrRestored, Tokenizer};
pub use train::{OptimizerKind, Train};
