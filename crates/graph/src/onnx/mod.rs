//! Graphs as ONNX models.

mod lowering;
mod proto;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use prost::Message;
use vqkit_torch::{TorchError, write_whole};

use crate::GraphError;
use crate::facts::Facts;
use crate::graph::Graph;
use crate::tokenizer::{IMAGES, TokenizerGraph};
use lowering::Lowering;
use proto::{DataType, Dimension, DimensionValue, Model, OperatorSetId, Property, Shape, TensorType, Type, ValueInfo};

/// Version of the operators, and of the format that came with it.
const OPERATORS: i64 = 17;
const FORMAT: i64 = 8;
/// A message of Protocol Buffers has at most so many bytes.
const MOST_BYTES: u64 = i32::MAX as u64;

impl TokenizerGraph {
    /// Writes `encode.onnx` and `decode.onnx` into a folder that is there.
    ///
    /// `encode.onnx` takes `images` `[B, C, H, W]`, f32 in `[-1, 1]`, and gives `indices`, i64: of a single level with a single
    /// codebook `[B, H', W']`, otherwise `[B, Q, H', W']`; with several levels `indices_0`, `indices_1`, coarse first.
    /// `decode.onnx` takes what the other gives, and gives `images`, not clamped to `[-1, 1]`. Batch, height and width are
    /// free; the downsampling must divide both sides, which a model cannot check. The operators are those of version 17.
    ///
    /// The models' metadata are facts of the tokenizer and the `properties` of the caller, such as `image_size`.
    ///
    /// # Errors
    /// [`GraphError::TooLarge`] where a model would exceed 2 GB; [`GraphError::Torch`] when a file cannot be written.
    pub fn save_onnx(&self, folder: &Path, properties: &BTreeMap<String, String>) -> Result<(), GraphError> {
        let properties = self.properties(properties);
        for (name, model) in [("encode", self.encoder(&properties)?), ("decode", self.decoder(&properties)?)] {
            write(&folder.join(format!("{name}.onnx")), &model)?;
        }
        Ok(())
    }

    fn encoder(&self, properties: &BTreeMap<String, String>) -> Result<Model, GraphError> {
        let facts = self.facts();
        let inputs = vec![images(facts.image_channels)];
        model("encode", self.encode(), self.weights(), Ends { inputs, outputs: all_indices(facts) }, properties)
    }

    fn decoder(&self, properties: &BTreeMap<String, String>) -> Result<Model, GraphError> {
        let facts = self.facts();
        let outputs = vec![images(facts.out_channels)];
        model("decode", self.decode(), self.weights(), Ends { inputs: all_indices(facts), outputs }, properties)
    }
}

/// Arguments and results of a model.
struct Ends {
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
}

fn model(
    name: &str,
    graph: &Graph,
    weights: &BTreeMap<String, tch::Tensor>,
    ends: Ends,
    properties: &BTreeMap<String, String>,
) -> Result<Model, GraphError> {
    let lowering = Lowering::of(graph, weights)?;
    let property = |(key, value): (&String, &String)| Property { key: key.clone(), value: value.clone() };
    Ok(Model {
        ir_version: FORMAT,
        producer_name: "vqkit".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto::Graph {
            node: lowering.nodes,
            name: name.into(),
            initializer: lowering.initializers,
            input: ends.inputs,
            output: ends.outputs,
        }),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPERATORS }],
        metadata_props: properties.iter().map(property).collect(),
    })
}

/// `[batch, channels, height, width]`, f32.
fn images(channels: i64) -> ValueInfo {
    value(IMAGES, DataType::Float, vec![named("batch"), fixed(channels), named("height"), named("width")])
}

/// The indices of every level, i64.
fn all_indices(facts: &Facts) -> Vec<ValueInfo> {
    let level = |(level, sizes): (usize, &Vec<i64>)| {
        let side = |name: &str| named(&format!("{name}_of_{}", facts.indices(level)));
        let codebooks = (!facts.is_single()).then(|| fixed(sizes.len() as i64));
        let sides = [side("height"), side("width")];
        let dims = [named("batch")].into_iter().chain(codebooks).chain(sides).collect();
        value(&facts.indices(level), DataType::Int64, dims)
    };
    facts.codebook_sizes.iter().enumerate().map(level).collect()
}

fn value(name: &str, kind: DataType, dim: Vec<Dimension>) -> ValueInfo {
    let tensor = TensorType { elem_type: kind.into(), shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), r#type: Some(Type { tensor_type: Some(tensor) }) }
}

fn named(name: &str) -> Dimension {
    Dimension { value: Some(DimensionValue::DimParam(name.into())) }
}

fn fixed(length: i64) -> Dimension {
    Dimension { value: Some(DimensionValue::DimValue(length)) }
}

fn write(path: &Path, model: &Model) -> Result<(), GraphError> {
    let bytes = model.encoded_len() as u64;
    if bytes > MOST_BYTES {
        return Err(GraphError::TooLarge { path: path.to_owned(), bytes, most: MOST_BYTES });
    }
    Ok(write_whole(path, |mut file, _| {
        let failed = |source| TorchError::Io { action: "write", path: path.to_owned(), source };
        file.write_all(&model.encode_to_vec()).map_err(failed)
    })?)
}
