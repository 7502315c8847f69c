//! The parameters of a transformer.

use tch::Tensor;

use super::block::{Block, Norm};
use super::prefix::Prefix;

/// All parameters, whatever the kind of block.
#[derive(Debug)]
pub(super) struct Network {
    /// `[V, D]`
    pub tokens: Tensor,
    /// `[1, S, D]`
    pub positions: Option<Tensor>,
    pub prefix: Prefix,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    /// `[V, D]`
    pub head: Tensor,
    /// `[vocabulary of the text, D]`, where it is predicted.
    pub text_head: Option<Tensor>,
    /// Probability of a number of the embedded sequence to be dropped in training.
    pub embedding_dropout: f64,
}
