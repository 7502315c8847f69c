//! A list of operations, each on results of earlier ones.

use std::collections::BTreeSet;

use crate::op::Op;

/// The result of an operation of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(pub(crate) usize);

impl Value {
    /// The place of the operation among [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation and what it is applied to.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Results of earlier operations.
    pub inputs: Vec<Value>,
}

/// A function of tensors: operations in an order in which each comes after those whose results it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<(String, Value)>,
}

impl Graph {
    /// `nodes` without those that no output depends on; `outputs` are their results, by name.
    pub(crate) fn new(nodes: Vec<Node>, outputs: Vec<(String, Value)>) -> Self {
        let needed = needed(&nodes, &outputs);
        let mut moved = vec![Value(0); nodes.len()];
        let mut kept = Vec::with_capacity(needed.len());
        for (index, node) in nodes.into_iter().enumerate().filter(|(index, _)| needed.contains(index)) {
            moved[index] = Value(kept.len());
            kept.push(Node { op: node.op, inputs: node.inputs.iter().map(|input| moved[input.0]).collect() });
        }
        Self { nodes: kept, outputs: outputs.into_iter().map(|(name, value)| (name, moved[value.0])).collect() }
    }

    /// The operations; the result of the one at place `i` is the [`Value`] with the index `i`.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The results, by name.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// Names of the arguments.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Input(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Names of the weights.
    pub fn weights(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Weight(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Indices of the nodes that the outputs depend on.
fn needed(nodes: &[Node], outputs: &[(String, Value)]) -> BTreeSet<usize> {
    let mut needed: BTreeSet<usize> = outputs.iter().map(|(_, value)| value.0).collect();
    for (index, node) in nodes.iter().enumerate().rev() {
        if needed.contains(&index) {
            needed.extend(node.inputs.iter().map(|input| input.0));
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_output_depends_on_is_left_out() {
        let node = |op, inputs: &[usize]| Node { op, inputs: inputs.iter().map(|index| Value(*index)).collect() };
        let nodes = vec![
            node(Op::Weight("unused".into()), &[]),
            node(Op::Input("x".into()), &[]),
            node(Op::Add, &[0, 1]),
            node(Op::Relu, &[1]),
        ];
        let graph = Graph::new(nodes, vec![("y".into(), Value(3))]);
        assert_eq!(graph.nodes(), [node(Op::Input("x".into()), &[]), node(Op::Relu, &[0])]);
        assert_eq!(graph.outputs(), [("y".into(), Value(1))]);
        assert_eq!((graph.inputs().collect::<Vec<_>>(), graph.weights().count()), (vec!["x"], 0));
    }
}
