//! Sampling: weights arranged for a token at a time, and the cached keys and values.

mod cache;
mod cursor;
mod decoder;
mod layer;
mod product;

pub use cursor::GptCursor;
pub(super) use decoder::Decoder;
