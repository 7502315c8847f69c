//! Writing a graph down, operation by operation.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::GraphError;
use crate::graph::{Graph, Node, Value};
use crate::op::Op;

/// A graph in the making, and the weights that it may name.
pub(crate) struct Builder<'w> {
    weights: &'w BTreeMap<String, Tensor>,
    named: BTreeMap<String, Value>,
    nodes: Vec<Node>,
}

impl<'w> Builder<'w> {
    pub fn new(weights: &'w BTreeMap<String, Tensor>) -> Self {
        Self { weights, named: BTreeMap::new(), nodes: Vec::new() }
    }

    pub fn finish(self, outputs: Vec<(String, Value)>) -> Graph {
        Graph::new(self.nodes, outputs)
    }

    pub fn push(&mut self, op: Op, inputs: &[Value]) -> Value {
        self.nodes.push(Node { op, inputs: inputs.to_vec() });
        Value(self.nodes.len() - 1)
    }

    pub fn input(&mut self, name: &str) -> Value {
        self.push(Op::Input(name.into()), &[])
    }

    pub fn has_weight(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// A weight, which is one node however often it is used.
    pub fn weight(&mut self, name: &str) -> Result<Value, GraphError> {
        if let Some(value) = self.named.get(name) {
            return Ok(*value);
        }
        self.shape(name)?;
        let value = self.push(Op::Weight(name.into()), &[]);
        self.named.insert(name.into(), value);
        Ok(value)
    }

    /// The shape of a weight.
    pub fn shape(&self, name: &str) -> Result<Vec<i64>, GraphError> {
        let missing = || GraphError::Weight { name: name.into() };
        self.weights.get(name).map(Tensor::size).ok_or_else(missing)
    }

    /// The number, `[1]`.
    pub fn number(&mut self, number: f32) -> Value {
        self.floats(vec![number])
    }

    pub fn floats(&mut self, numbers: Vec<f32>) -> Value {
        self.push(Op::Floats(numbers), &[])
    }

    pub fn integers(&mut self, numbers: Vec<i64>) -> Value {
        self.push(Op::Integers(numbers), &[])
    }

    /// `weight` and, where there is one, `bias` of the layer `at`.
    fn weight_and_bias(&mut self, at: &str) -> Result<Vec<Value>, GraphError> {
        let mut found = vec![self.weight(&format!("{at}.weight"))?];
        let bias = format!("{at}.bias");
        if self.has_weight(&bias) {
            found.push(self.weight(&bias)?);
        }
        Ok(found)
    }

    /// A layer `at`: `op` of `x`, the weight and perhaps the bias.
    pub fn layer(&mut self, op: Op, x: Value, at: &str) -> Result<Value, GraphError> {
        let inputs = [vec![x], self.weight_and_bias(at)?].concat();
        Ok(self.push(op, &inputs))
    }

    /// A convolution with odd sides that keeps height and width.
    pub fn conv(&mut self, x: Value, at: &str) -> Result<Value, GraphError> {
        let size = self.shape(&format!("{at}.weight"))?.last().copied().unwrap_or(1);
        self.layer(Op::Conv { stride: 1, padding: size / 2 }, x, at)
    }

    /// A linear layer on rows, whose weight may be that of a 1×1 convolution.
    pub fn linear(&mut self, rows: Value, at: &str) -> Result<Value, GraphError> {
        let mut inputs = [vec![rows], self.weight_and_bias(at)?].concat();
        if self.shape(&format!("{at}.weight"))?.len() > 2 {
            inputs[1] = self.push(Op::Flatten, &[inputs[1]]);
        }
        Ok(self.push(Op::Linear, &inputs))
    }

    /// `op` of one value.
    pub fn map(&mut self, op: Op, x: Value) -> Value {
        self.push(op, &[x])
    }
}
