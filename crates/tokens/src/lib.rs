//! Images as indices on disk.
#![doc = include_str!("../README.md")]

pub mod bits;
mod condition_encoder;
mod embedding_file;
pub mod encode;
pub mod encode_folder;
mod error;
pub mod level_order;
pub mod loaders;
mod rows;
pub mod run_tokens;
pub mod split;
mod text_tokenizer;
mod token_file;
mod token_set;
mod usage;

pub use condition_encoder::{ConditionEncoder, TEXT_TOKENIZER, with_grids};
pub use embedding_file::EmbeddingFile;
pub use encode::{Encoded, Encoder};
pub use error::{Result, TokensError};
pub use rows::TokenRows;
pub use split::Split;
pub use text_tokenizer::{Ids, TextTokenizer};
pub use token_file::{Columns, TokenHeader};
pub use token_set::TokenSet;
pub use usage::TokenUsage;
