//! Channels that are rounded to levels: `fsq`. An index is a number whose digits are the channels' levels.

use vqkit_quantizer::FiniteScalarQuantizerConfig;

use super::digits::{digits_of, index_of};
use super::projection::{enter, leave};
use super::quantizer::Quantizer;
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// By how much the outermost levels lie inside of the reach of the hyperbolic tangent.
const MARGIN: f64 = 1e-3;

/// `fsq`: with `L` levels, `l = (L - 1) (1 + 1e-3) / 2` and `o = 1/2` for even `L`, else 0, the digit is
/// `round(l tanh(z + atanh(o / l)) - o) + floor(L / 2)`, and with `preserve_symmetry`, `floor((L - 1) (tanh(z) + 1) / 2 + 1/2)`.
pub(super) struct Rounded<'a> {
    levels: &'a [i64],
    symmetric: bool,
}

impl<'a> Rounded<'a> {
    pub fn new(config: &'a FiniteScalarQuantizerConfig) -> Self {
        Self { levels: &config.levels, symmetric: config.preserve_symmetry }
    }

    fn channels(&self) -> i64 {
        self.levels.len() as i64
    }

    /// By how much a step of each digit moves the index; the first channel's is the fastest.
    fn basis(&self) -> Vec<i64> {
        let products = self.levels.iter().scan(1, |product, levels| {
            let before = *product;
            *product *= levels;
            Some(before)
        });
        products.collect()
    }

    fn reach(&self, levels: i64) -> f64 {
        (levels - 1) as f64 * if self.symmetric { 0.5 } else { 0.5 * (1.0 + MARGIN) }
    }

    fn offset(&self, levels: i64) -> f64 {
        if !self.symmetric && levels % 2 == 0 { 0.5 } else { 0.0 }
    }

    /// The digit of the code 0.
    fn centre(&self, levels: i64) -> f64 {
        if self.symmetric { (levels - 1) as f64 / 2.0 } else { (levels / 2) as f64 }
    }

    /// A number for every channel.
    fn column(&self, graph: &mut Builder, number: impl Fn(i64) -> f64) -> Value {
        graph.floats(self.levels.iter().map(|levels| number(*levels) as f32).collect())
    }

    /// Digits of rows.
    fn digits(&self, graph: &mut Builder, rows: Value) -> Value {
        let shift = self.column(graph, |levels| (self.offset(levels) / self.reach(levels)).atanh());
        let scale = self.column(graph, |levels| self.reach(levels));
        let centre = self.column(graph, |levels| self.centre(levels));
        let shifted = graph.push(Op::Add, &[rows, shift]);
        let bounded = graph.map(Op::Tanh, shifted);
        let scaled = graph.push(Op::Mul, &[bounded, scale]);
        if self.symmetric {
            let raised = graph.push(Op::Add, &[scaled, centre]);
            let half = graph.number(0.5);
            let raised = graph.push(Op::Add, &[raised, half]);
            return graph.map(Op::Floor, raised);
        }
        let offset = self.column(graph, |levels| self.offset(levels));
        let moved = graph.push(Op::Sub, &[scaled, offset]);
        let from_centre = graph.map(Op::Round, moved);
        graph.push(Op::Add, &[from_centre, centre])
    }
}

impl Quantizer for Rounded<'_> {
    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let rows = enter(graph, at, latents, dim, self.channels())?;
        let digits = self.digits(graph, rows);
        Ok(vec![index_of(graph, digits, &self.basis())])
    }

    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let digits = digits_of(graph, indices[0], self.basis(), self.levels.to_vec());
        let centre = self.column(graph, |levels| self.centre(levels));
        let step = self.column(graph, |levels| 1.0 / self.centre(levels));
        let from_centre = graph.push(Op::Sub, &[digits, centre]);
        let codes = graph.push(Op::Mul, &[from_centre, step]);
        leave(graph, at, codes, dim, self.channels())
    }
}
