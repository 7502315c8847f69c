//! Decoder-only transformers over tokens: taming-transformers' GPT and LlamaGen's.
//!
//! A sequence is `[class | text | embedding | condition grids | tokens]`, and each token is predicted from everything
//! before it. A sequence without any condition starts with a learned vector. Several codebooks share one table of
//! tokens, in which those of the second follow those of the first; each position's prediction is over its own codebook.
//! Differences from upstream: grids need not be squares; conditions have their own tables unless `vocabulary =
//! "shared"`; LlamaGen's condition grids have rotary positions, those of the part of the target that they cover.

mod block;
mod checkpoint;
mod cost;
mod decode;
mod gpt2;
mod init;
mod layout;
mod llama;
mod loss;
mod model;
mod network;
mod options;
mod order;
mod positions;
mod prefix;
mod rotary;
mod transformer;

pub use decode::GptCursor;
pub use gpt2::Gpt2Config;
pub use llama::LlamaConfig;
pub use model::Gpt;
pub use options::{ConditionDropoutMode, Vocabulary};
pub use order::TokenOrder;
pub use rotary::rotary_table;
