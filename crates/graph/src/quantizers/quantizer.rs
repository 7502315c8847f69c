//! What every quantizer does.

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;

/// One type of quantizer, with its weights at `at`, for latents of width `dim`.
pub(crate) trait Quantizer {
    /// Number of codebooks.
    fn codebooks(&self) -> usize {
        1
    }

    /// The indices of latents, one value a codebook.
    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError>;

    /// The codes of indices, of which there are as many as [`codebooks`](Self::codebooks).
    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError>;
}
