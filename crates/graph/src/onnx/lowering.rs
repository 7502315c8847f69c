//! A graph's operations as nodes of ONNX, of which one operation may take several.

use std::collections::BTreeMap;

use super::proto::{Attribute, AttributeType, DataType, Node, Tensor};
use crate::GraphError;
use crate::graph::Graph;
use crate::op::Op;

/// The nodes and constants of a graph.
pub(super) struct Lowering {
    pub nodes: Vec<Node>,
    pub initializers: Vec<Tensor>,
    constants: BTreeMap<Vec<i64>, String>,
}

impl Lowering {
    /// Of all operations of a graph. Results of the graph have their names, weights theirs.
    pub fn of(graph: &Graph, weights: &BTreeMap<String, tch::Tensor>) -> Result<Self, GraphError> {
        let mut lowering = Self { nodes: Vec::new(), initializers: Vec::new(), constants: BTreeMap::new() };
        let mut names: Vec<String> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let inputs: Vec<&str> = node.inputs.iter().map(|input| names[input.index()].as_str()).collect();
            let name = match &node.op {
                Op::Weight(name) => lowering.weight(name, weights)?,
                op => lowering.operation(op, &inputs),
            };
            names.push(name);
        }
        for (output, value) in graph.outputs() {
            lowering.rename(&names[value.index()], output);
        }
        Ok(lowering)
    }

    fn operation(&mut self, op: &Op, x: &[&str]) -> String {
        match op {
            Op::Input(name) | Op::Weight(name) => name.clone(),
            Op::Floats(numbers) => self.floats(numbers),
            Op::Integers(numbers) => self.integers(numbers),
            Op::Conv { stride, padding } => self.call("Conv", x, sliding(*stride, *padding)),
            Op::ConvTranspose { stride, padding } => self.call("ConvTranspose", x, sliding(*stride, *padding)),
            Op::GroupNorm { groups, eps } => self.group_norm(x, *groups, *eps),
            Op::BatchNorm { eps } => self.call("BatchNormalization", x, vec![float("epsilon", *eps)]),
            Op::PadBelowRight => {
                let pads = self.integers(&[0, 0, 0, 0, 0, 0, 1, 1]);
                self.call("Pad", &[x[0], &pads], vec![])
            }
            Op::HalveByMean => {
                self.call("AveragePool", x, vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
            }
            Op::Repeat { factor } => self.repeat(x[0], *factor),
            Op::DepthToSpace => self.call("DepthToSpace", x, vec![int("blocksize", 2), text("mode", "DCR")]),
            Op::Rows => {
                let flat = self.reshape(x[0], &[0, 0, -1]);
                self.transpose(&flat, &[0, 2, 1])
            }
            Op::Map => self.map(x[0], x[1]),
            Op::Attention { width } => self.attention(x, *width),
            Op::Linear => self.linear(x),
            Op::Lookup => {
                let axes = self.integers(&[2]);
                let indices = self.call("Squeeze", &[x[1], &axes], vec![]);
                self.call("Gather", &[x[0], &indices], vec![])
            }
            Op::Flatten => self.call("Flatten", x, vec![int("axis", 1)]),
            Op::MeanOfRows => self.call("ReduceMean", x, vec![ints("axes", &[1])]),
            Op::VarianceOfRows => self.variance(x[0]),
            Op::Transpose => self.transpose(x[0], &[0, 2, 1]),
            Op::Silu => {
                let gate = self.call("Sigmoid", x, vec![]);
                self.call("Mul", &[x[0], &gate], vec![])
            }
            Op::IsPositive => {
                let zero = self.floats(&[0.0]);
                let positive = self.call("Greater", &[x[0], &zero], vec![]);
                self.cast(&positive, DataType::Float)
            }
            Op::AtLeast(least) => {
                let least = self.floats(&[*least as f32]);
                self.call("Max", &[x[0], &least], vec![])
            }
            Op::SumLast => {
                let axes = self.integers(&[-1]);
                self.call("ReduceSum", &[x[0], &axes], vec![int("keepdims", 0)])
            }
            Op::LengthLast => self.call("ReduceL2", x, vec![ints("axes", &[-1])]),
            Op::Best { largest } => self.call(if *largest { "ArgMax" } else { "ArgMin" }, x, vec![int("axis", -1)]),
            Op::ToIntegers => self.cast(x[0], DataType::Int64),
            Op::ToFloats => self.cast(x[0], DataType::Float),
            Op::Concat { axis } => self.call("Concat", x, vec![int("axis", *axis)]),
            Op::Narrow { axis, start, length } => {
                let [start, end, axis] = [*start, start + length, *axis].map(|number| self.integers(&[number]));
                self.call("Slice", &[x[0], &start, &end, &axis], vec![])
            }
            Op::Unsqueeze { axis } => self.unsqueeze(x[0], &[*axis]),
            Op::Squeeze { axis } => {
                let axes = self.integers(&[*axis]);
                self.call("Squeeze", &[x[0], &axes], vec![])
            }
            Op::Relu => self.call("Relu", x, vec![]),
            Op::Tanh => self.call("Tanh", x, vec![]),
            Op::Sqrt => self.call("Sqrt", x, vec![]),
            Op::Round => self.call("Round", x, vec![]),
            Op::Floor => self.call("Floor", x, vec![]),
            Op::Add => self.call("Add", x, vec![]),
            Op::Sub => self.call("Sub", x, vec![]),
            Op::Mul => self.call("Mul", x, vec![]),
            Op::Div | Op::Quotient => self.call("Div", x, vec![]),
            Op::Remainder => self.call("Mod", x, vec![]),
        }
    }

    /// ONNX normalises groups from operator set 21 on; before, every group is normalised as a channel of one image.
    fn group_norm(&mut self, x: &[&str], groups: i64, eps: f64) -> String {
        let [ones, zeros] = [1.0, 0.0].map(|number| self.floats(&vec![number; groups as usize]));
        let grouped = self.reshape(x[0], &[0, groups, -1]);
        let normed = self.call("InstanceNormalization", &[&grouped, &ones, &zeros], vec![float("epsilon", eps)]);
        let shape = self.call("Shape", &x[..1], vec![]);
        let normed = self.call("Reshape", &[&normed, &shape], vec![]);
        let [_, weight, bias] = x else { return normed };
        let [weight, bias] = [weight, bias].map(|column| self.unsqueeze(column, &[1, 2]));
        let scaled = self.call("Mul", &[&normed, &weight], vec![]);
        self.call("Add", &[&scaled, &bias], vec![])
    }

    fn repeat(&mut self, x: &str, factor: i64) -> String {
        let scales = self.floats(&[1.0, 1.0, factor as f32, factor as f32]);
        let attributes = vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        self.call("Resize", &[x, "", &scales], attributes)
    }

    fn variance(&mut self, rows: &str) -> String {
        let mean = self.call("ReduceMean", &[rows], vec![ints("axes", &[1])]);
        let difference = self.call("Sub", &[rows, &mean], vec![]);
        let squares = self.call("Mul", &[&difference, &difference], vec![]);
        let axes = self.integers(&[1]);
        let sum = self.call("ReduceSum", &[&squares, &axes], vec![]);
        let count = self.call("Shape", &[rows], vec![int("start", 1), int("end", 2)]);
        let count = self.cast(&count, DataType::Float);
        let one = self.floats(&[1.0]);
        let count = self.call("Sub", &[&count, &one], vec![]);
        let count = self.call("Max", &[&count, &one], vec![]);
        self.call("Div", &[&sum, &count], vec![])
    }

    fn map(&mut self, rows: &str, like: &str) -> String {
        let channels_first = self.transpose(rows, &[0, 2, 1]);
        let sides = self.call("Shape", &[like], vec![int("start", 2), int("end", 4)]);
        // A zero keeps the length that is there.
        let kept = self.integers(&[0, 0]);
        let shape = self.call("Concat", &[&kept, &sides], vec![int("axis", 0)]);
        self.call("Reshape", &[&channels_first, &shape], vec![])
    }

    fn attention(&mut self, x: &[&str], width: i64) -> String {
        let scale = self.floats(&[(1.0 / (width as f64).sqrt()) as f32]);
        let queries = self.call("Mul", &[x[0], &scale], vec![]);
        let keys = self.transpose(x[1], &[0, 2, 1]);
        let scores = self.call("MatMul", &[&queries, &keys], vec![]);
        let shares = self.call("Softmax", &[&scores], vec![int("axis", -1)]);
        self.call("MatMul", &[&shares, x[2]], vec![])
    }

    fn linear(&mut self, x: &[&str]) -> String {
        let weight = self.transpose(x[1], &[1, 0]);
        let product = self.call("MatMul", &[x[0], &weight], vec![]);
        match x.get(2) {
            Some(bias) => self.call("Add", &[&product, bias], vec![]),
            None => product,
        }
    }

    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.integers(shape);
        self.call("Reshape", &[x, &shape], vec![])
    }

    fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.call("Transpose", &[x], vec![ints("perm", order)])
    }

    fn unsqueeze(&mut self, x: &str, axes: &[i64]) -> String {
        let axes = self.integers(axes);
        self.call("Unsqueeze", &[x, &axes], vec![])
    }

    fn cast(&mut self, x: &str, to: DataType) -> String {
        self.call("Cast", &[x], vec![int("to", i64::from(to as i32))])
    }

    /// A node of the operator `op_type`; gives the name of its result.
    fn call(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let name = format!("{op_type}_{}", self.nodes.len());
        let input = inputs.iter().map(|&input| input.to_owned()).collect();
        let node = Node { input, output: vec![name.clone()], name: name.clone(), op_type: op_type.into(), attribute };
        self.nodes.push(node);
        name
    }

    fn weight(&mut self, name: &str, weights: &BTreeMap<String, tch::Tensor>) -> Result<String, GraphError> {
        let tensor = weights.get(name).ok_or_else(|| GraphError::Weight { name: name.into() })?;
        let mut raw_data = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut raw_data, tensor.numel())?;
        self.constant(name, DataType::Float, tensor.size(), raw_data);
        Ok(name.into())
    }

    fn floats(&mut self, numbers: &[f32]) -> String {
        let name = format!("constant_{}", self.initializers.len());
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(&name, DataType::Float, vec![numbers.len() as i64], raw_data);
        name
    }

    /// Integers `[n]`; the same ones are one constant.
    fn integers(&mut self, numbers: &[i64]) -> String {
        if let Some(name) = self.constants.get(numbers) {
            return name.clone();
        }
        let name = format!("constant_{}", self.initializers.len());
        let raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(&name, DataType::Int64, vec![numbers.len() as i64], raw_data);
        self.constants.insert(numbers.to_vec(), name.clone());
        name
    }

    fn constant(&mut self, name: &str, kind: DataType, dims: Vec<i64>, raw_data: Vec<u8>) {
        self.initializers.push(Tensor { dims, data_type: kind.into(), name: name.into(), raw_data });
    }

    /// Gives a result another name, wherever it is used.
    fn rename(&mut self, from: &str, to: &str) {
        let names = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| *name == from).for_each(|name| *name = to.into());
    }
}

/// Attributes of convolutions.
fn sliding(stride: i64, padding: i64) -> Vec<Attribute> {
    vec![ints("strides", &[stride; 2]), ints("pads", &[padding; 4])]
}

fn float(name: &str, value: f64) -> Attribute {
    Attribute { f: Some(value as f32), ..attribute(name, AttributeType::Float) }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, AttributeType::Int) }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn text(name: &str, value: &str) -> Attribute {
    Attribute { s: Some(value.into()), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute { name: name.into(), r#type: kind.into(), ..Attribute::default() }
}
