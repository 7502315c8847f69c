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
            write(&folder.join(format!("{name}.onnx")), &model, MOST_BYTES)?;
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

/// `most`: the limit of the format.
fn write(path: &Path, model: &Model, most: u64) -> Result<(), GraphError> {
    let bytes = model.encoded_len() as u64;
    if bytes > most {
        return Err(GraphError::TooLarge { path: path.to_owned(), bytes, most });
    }
    Ok(write_whole(path, |mut file, _| {
        let failed = |source| TorchError::Io { action: "write", path: path.to_owned(), source };
        file.write_all(&model.encode_to_vec()).map_err(failed)
    })?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

    use std::collections::BTreeSet;

    use tch::nn::VarStore;
    use vqkit_quantizer::{
        FiniteScalarQuantizerConfig, QuantizerConfig, ResidualQuantizerConfig, VectorQuantizerConfig,
    };
    use vqkit_torch::weights;
    use vqkit_vqvae::{TokenizerConfig, VqVae2Config, VqganConfig};

    use super::*;

    fn tokenizer(config: &TokenizerConfig, quantizer: &QuantizerConfig) -> TokenizerGraph {
        let vs = VarStore::new(tch::Device::Cpu);
        let _ = config.build(&vs.root(), 3, quantizer).unwrap();
        TokenizerGraph::new(config, quantizer, 3, &weights::tensors(&vs)).unwrap()
    }

    /// One level with attention, whose quantizer has linear maps.
    fn one_level() -> TokenizerGraph {
        let config = VqganConfig {
            ch: 32,
            ch_mult: vec![1, 2],
            num_res_blocks: 1,
            attn_resolutions: vec![8],
            resolution: 16,
            z_channels: 4,
            embed_dim: 4,
            ..VqganConfig::imagenet_f16()
        };
        let quantizer = QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(&[3, 3]));
        tokenizer(&TokenizerConfig::Vqgan(config), &quantizer)
    }

    /// Two levels with three codebooks each.
    fn two_levels() -> TokenizerGraph {
        let config = VqVae2Config { channels: 8, residual_channels: 4, embed_dim: 4, ..VqVae2Config::default() };
        let level = QuantizerConfig::Vq(VectorQuantizerConfig::new(16));
        let quantizer = QuantizerConfig::Residual(ResidualQuantizerConfig::new(3, level));
        tokenizer(&TokenizerConfig::VqVae2(config), &quantizer)
    }

    /// The models `encode` and `decode` as they are read back.
    fn written(tokenizer: &TokenizerGraph) -> [Model; 2] {
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save_onnx(folder.path(), &BTreeMap::from([("image_size".into(), "16".into())])).unwrap();
        ["encode.onnx", "decode.onnx"]
            .map(|name| Model::decode(std::fs::read(folder.path().join(name)).unwrap().as_slice()).unwrap())
    }

    fn names(values: &[ValueInfo]) -> Vec<&str> {
        values.iter().map(|value| value.name.as_str()).collect()
    }

    /// What is known of every axis.
    fn axes(value: &ValueInfo) -> Vec<String> {
        let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        let axis = |axis: &Dimension| match axis.value.as_ref().unwrap() {
            DimensionValue::DimValue(length) => length.to_string(),
            DimensionValue::DimParam(name) => name.clone(),
        };
        tensor.shape.as_ref().unwrap().dim.iter().map(axis).collect()
    }

    #[test]
    fn every_name_is_defined_once_and_before_its_use() {
        for model in [one_level(), two_levels()].iter().flat_map(written) {
            let graph = model.graph.unwrap();
            let constants = graph.initializer.iter().map(|tensor| tensor.name.as_str());
            let given: Vec<_> = names(&graph.input).into_iter().chain(constants).collect();
            let mut known: BTreeSet<_> = given.iter().copied().collect();
            assert_eq!(known.len(), given.len());
            for node in &graph.node {
                let unknown = node.input.iter().find(|input| !input.is_empty() && !known.contains(input.as_str()));
                assert_eq!(unknown, None, "{node:?}");
                assert!(node.output.iter().all(|output| known.insert(output)), "{node:?}");
            }
            assert!(names(&graph.output).iter().all(|output| known.contains(output)));
        }
    }

    #[test]
    fn constants_have_the_bytes_that_their_shape_says() {
        for model in [one_level(), two_levels()].iter().flat_map(written) {
            for tensor in model.graph.unwrap().initializer {
                let width = if tensor.data_type == DataType::Int64 as i32 { 8 } else { 4 };
                assert_eq!(
                    tensor.raw_data.len() as i64,
                    width * tensor.dims.iter().product::<i64>(),
                    "{}",
                    tensor.name
                );
            }
        }
    }

    #[test]
    fn arguments_results_and_facts_are_declared() {
        let [encode, decode] = written(&one_level());
        let (encode, decode) = (encode.graph.unwrap(), decode.graph.unwrap());
        assert_eq!(axes(&encode.input[0]), ["batch", "3", "height", "width"]);
        assert_eq!(axes(&encode.output[0]), ["batch", "height_of_indices", "width_of_indices"]);
        assert_eq!((names(&decode.input), names(&decode.output)), (vec!["indices"], vec!["images"]));

        let [encode, decode] = written(&two_levels());
        assert_eq!((encode.opset_import[0].version, encode.producer_name.as_str()), (17, "vqkit"));
        let property = |key| encode.metadata_props.iter().find(|property| property.key == key).unwrap().value.clone();
        assert_eq!((property("image_size"), property("downsampling")), ("16".into(), "[8,4]".into()));
        assert_eq!(property("codebook_sizes"), "[[16,16,16],[16,16,16]]");
        let outputs = encode.graph.unwrap().output;
        assert_eq!(names(&outputs), ["indices_0", "indices_1"]);
        assert_eq!(axes(&outputs[1]), ["batch", "3", "height_of_indices_1", "width_of_indices_1"]);
        assert_eq!(names(&decode.graph.unwrap().input), ["indices_0", "indices_1"]);
    }

    #[test]
    fn a_model_beyond_the_format_s_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encode.onnx");
        let model = one_level().encoder(&BTreeMap::new()).unwrap();
        let bytes = model.encoded_len() as u64;
        let message = write(&path, &model, bytes - 1).unwrap_err().to_string();
        assert!(message.contains("encode.onnx") && message.contains(&bytes.to_string()), "{message}");
        assert!(!path.exists());
        write(&path, &model, bytes).unwrap();
    }
}
