//! Sampling of autoregressive priors: token by token, with a cursor.

mod abilities;
mod draw;
mod drawing;
mod known;
mod ngram;
mod noise;
mod sampler;
mod window;

pub(crate) use abilities::Abilities;
pub use draw::{min_p, top_k, top_p};
pub use sampler::{check, sample};
