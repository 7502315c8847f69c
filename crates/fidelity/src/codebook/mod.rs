//! How the codebooks of a tokenizer are used, what their codes look like, and why one collapses.

pub mod atlas;
pub mod collapse;
pub mod usage;
