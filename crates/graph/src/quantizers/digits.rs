//! Indices as numbers whose digits are the channels of a code.

use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Indices `[B, N, 1]` of digits `[B, N, C]`, f32; exact, since no index is beyond what f32 counts.
pub(super) fn index_of(graph: &mut Builder, digits: Value, basis: &[i64]) -> Value {
    let basis = graph.floats(basis.iter().map(|weight| *weight as f32).collect());
    let weighed = graph.push(Op::Mul, &[digits, basis]);
    let sums = graph.map(Op::SumLast, weighed);
    let sums = graph.map(Op::Unsqueeze { axis: -1 }, sums);
    graph.map(Op::ToIntegers, sums)
}

/// Digits `[B, N, C]`, f32, of indices `[B, N, 1]`.
pub(super) fn digits_of(graph: &mut Builder, indices: Value, basis: Vec<i64>, levels: Vec<i64>) -> Value {
    let (basis, levels) = (graph.integers(basis), graph.integers(levels));
    let shifted = graph.push(Op::Quotient, &[indices, basis]);
    let digits = graph.push(Op::Remainder, &[shifted, levels]);
    graph.map(Op::ToFloats, digits)
}
