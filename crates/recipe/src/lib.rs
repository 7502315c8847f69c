//! What an experiment is: one TOML file, validated once.
#![doc = include_str!("../README.md")]

mod changes;
mod classifier;
mod condition;
mod error;
mod finetune;
mod guard;
mod loss;
mod modality;
mod pretrained;
mod recipe;
mod schema;
mod sections;
pub mod stage_names;
mod tokenizer;
mod train;

pub use classifier::{Classifier, Features};
pub use condition::{Condition, EmbeddingCondition, TextCondition};
pub use error::{InvalidRequest, RecipeError, Result};
pub use finetune::{Finetune, FinetunedPart, InitFrom, Lora, LoraTarget, PriorFinetune, PriorFinetunedPart};
pub use guard::{Guard, OnFault};
pub use loss::{Adversarial, DiscriminatorTrain, Loss, LpipsConfig, PerceptualConfig, Pixels, VggConfig};
pub use modality::{InputSpec, Modality};
pub use pretrained::InheritedTokenizer;
pub use recipe::{Head, Prior, Recipe};
pub use schema::schema;
pub use sections::{Evaluate, Precision, Sample, TokenSource};
pub use tokenizer::Tokenizer;
pub use train::{OptimizerKind, Select, Train};
