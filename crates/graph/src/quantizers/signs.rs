//! Channels that are reduced to their signs: `lfq` and `bsq`. A bit of an index is set where its channel is positive; the
//! channels may be divided into several indices.

use vqkit_quantizer::{BitOrder, LookupFreeQuantizerConfig};

use super::digits::{digits_of, index_of};
use super::projection::{enter, leave};
use super::quantizer::Quantizer;
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// A channel becomes `scale` or `-scale`. Lengths of latents do not matter to signs, so `bsq` need not normalise them.
pub(super) struct Signs {
    /// Number of channels of each index.
    factors: Vec<i64>,
    order: BitOrder,
    scale: f64,
}

impl Signs {
    /// With codes of length 1 where `spherical`.
    pub fn new(config: &LookupFreeQuantizerConfig, spherical: bool) -> Self {
        let bits = i64::from(config.codebook_size.ilog2());
        Self {
            factors: config.factorized_bits.clone().unwrap_or_else(|| vec![bits]),
            order: config.bit_order,
            scale: if spherical { 1.0 / (bits as f64).sqrt() } else { 1.0 },
        }
    }

    /// Number of channels.
    fn bits(&self) -> i64 {
        self.factors.iter().sum()
    }

    /// The weights of the `bits` channels of an index.
    fn basis(&self, bits: i64) -> Vec<i64> {
        let rising = (0..bits).map(|bit| 1 << bit);
        match self.order {
            BitOrder::LsbFirst => rising.collect(),
            BitOrder::MsbFirst => rising.rev().collect(),
        }
    }
}

impl Quantizer for Signs {
    fn codebooks(&self) -> usize {
        self.factors.len()
    }

    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let rows = enter(graph, at, latents, dim, self.bits())?;
        let set = graph.map(Op::IsPositive, rows);
        let (mut start, mut all) = (0, Vec::new());
        for &length in &self.factors {
            let part = graph.map(Op::Narrow { axis: 2, start, length }, set);
            all.push(index_of(graph, part, &self.basis(length)));
            start += length;
        }
        Ok(all)
    }

    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let parts = indices.iter().zip(&self.factors);
        let parts: Vec<_> =
            parts.map(|(&index, &bits)| digits_of(graph, index, self.basis(bits), vec![2; bits as usize])).collect();
        let set = graph.push(Op::Concat { axis: 2 }, &parts);
        let (width, scale) = (graph.number((2.0 * self.scale) as f32), graph.number(self.scale as f32));
        let scaled = graph.push(Op::Mul, &[set, width]);
        let codes = graph.push(Op::Sub, &[scaled, scale]);
        leave(graph, at, codes, dim, self.bits())
    }
}
