//! Codebooks of a tokenizer: usage, atlas, and diagnosis of collapse.

pub mod atlas;
pub mod collapse;
pub mod usage;
