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

/// A count as an `i64`; the largest one where it is more.
pub(crate) fn saturating(count: i128) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Cost {
    /// Bytes that a cursor keeps of the past of `samples` samples drawn at once, with guidance (`guided`) each of them twice: memory
    /// that sampling takes besides the prior itself.
    pub fn cache_bytes(&self, samples: u64, guided: bool) -> u64 {
        let values = self.cache_values_per_sample.unsigned_abs().saturating_mul(4 * (1 + u64::from(guided)));
        values.saturating_mul(samples)
    }

    /// Floating-point operations of a training step per token: the backward pass takes two products for each one of the forward pass.
    pub fn training_flops_per_token(&self) -> i64 {
        self.forward_flops_per_token.saturating_mul(3)
    }
}
