//! The code with the largest logit: `gumbel` and `ibq`.

use super::quantizer::Quantizer;
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Logits by the 1×1 convolution `proj`; the codes are `embed.weight` `[K, D']`.
pub(super) struct Projected;

impl Quantizer for Projected {
    fn choose(&self, graph: &mut Builder, at: &str, _dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let logits = graph.linear(latents, &format!("{at}.proj"))?;
        Ok(vec![graph.map(Op::Best { largest: true }, logits)])
    }

    fn lookup(&self, graph: &mut Builder, at: &str, _dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let table = graph.weight(&format!("{at}.embed.weight"))?;
        Ok(graph.push(Op::Lookup, &[table, indices[0]]))
    }
}

/// The largest product with a code of `embedding.weight` `[K, D]`.
pub(super) struct LargestProduct;

impl Quantizer for LargestProduct {
    fn choose(&self, graph: &mut Builder, at: &str, _dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let products = graph.linear(latents, &format!("{at}.embedding"))?;
        Ok(vec![graph.map(Op::Best { largest: true }, products)])
    }

    fn lookup(&self, graph: &mut Builder, at: &str, _dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let table = graph.weight(&format!("{at}.embedding.weight"))?;
        Ok(graph.push(Op::Lookup, &[table, indices[0]]))
    }
}
