//! The nearest code of a table: `vq`, `ema` and `simvq`.

use vqkit_quantizer::Metric;

use super::quantizer::Quantizer;
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Lower bound of lengths.
const LEAST_NORM: f64 = 1e-6;

/// The codes `embedding.weight` `[K, D]`.
pub(super) struct Nearest {
    pub metric: Metric,
}

impl Nearest {
    /// Codes or latents as they are compared.
    fn compared(&self, graph: &mut Builder, x: Value) -> Value {
        match self.metric {
            Metric::Euclidean => x,
            Metric::Cosine => {
                let length = graph.map(Op::LengthLast, x);
                let length = graph.map(Op::AtLeast(LEAST_NORM), length);
                graph.push(Op::Div, &[x, length])
            }
        }
    }

    fn table(&self, graph: &mut Builder, at: &str) -> Result<Value, GraphError> {
        let codes = graph.weight(&format!("{at}.embedding.weight"))?;
        Ok(self.compared(graph, codes))
    }
}

impl Quantizer for Nearest {
    fn choose(&self, graph: &mut Builder, at: &str, _dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let table = self.table(graph, at)?;
        let latents = self.compared(graph, latents);
        Ok(vec![nearest(graph, latents, table)])
    }

    fn lookup(&self, graph: &mut Builder, at: &str, _dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let table = self.table(graph, at)?;
        Ok(graph.push(Op::Lookup, &[table, indices[0]]))
    }
}

/// The codes `frozen_codebook` `[K, D']`, transformed by `code_transform.weight` `[D, D']`.
pub(super) struct Transformed;

impl Quantizer for Transformed {
    fn choose(&self, graph: &mut Builder, at: &str, _dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let frozen = graph.weight(&format!("{at}.frozen_codebook"))?;
        let table = graph.linear(frozen, &format!("{at}.code_transform"))?;
        Ok(vec![nearest(graph, latents, table)])
    }

    fn lookup(&self, graph: &mut Builder, at: &str, _dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let frozen = graph.weight(&format!("{at}.frozen_codebook"))?;
        let rows = graph.push(Op::Lookup, &[frozen, indices[0]]);
        graph.linear(rows, &format!("{at}.code_transform"))
    }
}

/// The indices of the codes with the least `||e||² - 2 z·e`, which orders them as the distances `||z - e||²` do.
fn nearest(graph: &mut Builder, latents: Value, table: Value) -> Value {
    let squares = graph.push(Op::Mul, &[table, table]);
    let norms = graph.map(Op::SumLast, squares);
    let factor = graph.number(-2.0);
    let minus_twice = graph.push(Op::Mul, &[table, factor]);
    let scores = graph.push(Op::Linear, &[latents, minus_twice, norms]);
    graph.map(Op::Best { largest: false }, scores)
}
