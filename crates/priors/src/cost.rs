//! What a prior costs, from its configuration alone: nothing is allocated.

use serde::Serialize;

/// The size of a prior, and what a token of it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Trainable numbers.
    pub parameters: i64,
    /// Floating-point operations of a forward pass over a whole grid, per token of the grid. A multiplication and the addition
    /// after it count as two; only products with weights and, in attention, with keys and values are counted.
    pub forward_flops_per_token: i64,
    /// Numbers that a cursor keeps of the past of one sample.
    pub cache_values_per_sample: i64,
}

impl Cost {
    /// Floating-point operations of a training step per token: the way back takes two products for each one of the way forth.
    pub fn training_flops_per_token(&self) -> i64 {
        self.forward_flops_per_token.saturating_mul(3)
    }
}
