//! A tokenizer as two graphs.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Device, Kind, Tensor};
use vqkit_quantizer::QuantizerConfig;
use vqkit_vqvae::TokenizerConfig;

use crate::GraphError;
use crate::builder::Builder;
use crate::facts::Facts;
use crate::graph::{Graph, Value};
use crate::networks::{Network, network};
use crate::op::Op;
use crate::quantizers::{Quantizer, quantizer};

/// Name of the argument of `encode`, and of the result of `decode`.
pub(crate) const IMAGES: &str = "images";

/// A trained tokenizer: the graph from images to indices, the graph from indices to images, and the weights of both.
#[derive(Debug)]
pub struct TokenizerGraph {
    encode: Graph,
    decode: Graph,
    weights: BTreeMap<String, Tensor>,
    facts: Facts,
}

impl TokenizerGraph {
    /// The graphs of a trained tokenizer of images with `in_channels` channels.
    ///
    /// `weights` are all tensors of the tokenizer by name, as `model.safetensors` of a checkpoint has them.
    ///
    /// # Errors
    /// [`GraphError::Tokenizer`] for a value of the configuration that is out of range; [`GraphError::Torch`] with every
    /// name, shape and kind of the weights that is not the tokenizer's.
    pub fn new(
        config: &TokenizerConfig,
        quantizer_config: &QuantizerConfig,
        in_channels: i64,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<Self, GraphError> {
        let facts = Facts::of(config, quantizer_config, in_channels, weights)?;
        let quantizer = quantizer(quantizer_config);
        let parts = Parts { network: network(config), quantizer: &*quantizer, facts: &facts, weights };
        let (encode, decode) = (parts.encode()?, parts.decode()?);
        let names: BTreeSet<_> = encode.weights().chain(decode.weights()).collect();
        let weights = names.into_iter().map(|name| Ok((name.into(), plain(name, weights)?)));
        let weights = weights.collect::<Result<_, GraphError>>()?;
        Ok(Self { encode, decode, weights, facts })
    }

    /// From `images` `[B, C, H, W]` in `[-1, 1]` to indices, i64: those of a single level with a single codebook `[B, H', W']`;
    /// otherwise `[B, Q, H', W']` of every level, coarse first.
    pub fn encode(&self) -> &Graph {
        &self.encode
    }

    /// From indices as [`encode`](Self::encode) gives them to `images` `[B, C', H, W]`, not clamped to `[-1, 1]`.
    pub fn decode(&self) -> &Graph {
        &self.decode
    }

    /// The weights that the graphs name, f32, on the CPU.
    pub fn weights(&self) -> &BTreeMap<String, Tensor> {
        &self.weights
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What both formats store as texts beside the graphs: facts of the tokenizer, and those of the caller.
    pub(crate) fn properties(&self, extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let facts = &self.facts;
        let mut properties = BTreeMap::from([
            ("tokenizer".into(), facts.tokenizer.into()),
            ("quantizer".into(), facts.quantizer.into()),
            ("image_channels".into(), facts.image_channels.to_string()),
            ("downsampling".into(), serde_json::json!(facts.strides).to_string()),
            ("codebook_sizes".into(), serde_json::json!(facts.codebook_sizes).to_string()),
        ]);
        properties.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        properties
    }
}

/// A weight as the graphs take it.
fn plain(name: &str, weights: &BTreeMap<String, Tensor>) -> Result<Tensor, GraphError> {
    let tensor = weights.get(name).ok_or_else(|| GraphError::Weight { name: name.into() })?;
    Ok(tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?)
}

/// What the graphs are made of.
struct Parts<'a> {
    network: &'a dyn Network,
    quantizer: &'a dyn Quantizer,
    facts: &'a Facts,
    weights: &'a BTreeMap<String, Tensor>,
}

impl Parts<'_> {
    fn encode(&self) -> Result<Graph, GraphError> {
        let mut graph = Builder::new(self.weights);
        let images = graph.input(IMAGES);
        let mut outputs = Vec::new();
        self.network.encode(&mut graph, images, &mut |graph, level, latents| {
            let (at, dim) = (self.network.quantizers()[level], self.facts.dims[level]);
            let rows = graph.map(Op::Rows, latents);
            let indices = self.quantizer.choose(graph, at, dim, rows)?;
            let codes = self.quantizer.lookup(graph, at, dim, &indices)?;
            outputs.push((self.facts.indices(level), self.grid(graph, &indices, latents)));
            Ok(graph.push(Op::Map, &[codes, latents]))
        })?;
        Ok(graph.finish(outputs))
    }

    fn decode(&self) -> Result<Graph, GraphError> {
        let mut graph = Builder::new(self.weights);
        let inputs: Vec<_> = (0..self.facts.levels()).map(|level| graph.input(&self.facts.indices(level))).collect();
        let mut codes = Vec::new();
        for (level, grid) in inputs.into_iter().enumerate() {
            let (at, dim) = (self.network.quantizers()[level], self.facts.dims[level]);
            let maps = self.maps(&mut graph, grid);
            let indices: Vec<_> = maps.iter().map(|map| graph.map(Op::Rows, *map)).collect();
            let rows = self.quantizer.lookup(&mut graph, at, dim, &indices)?;
            codes.push(graph.push(Op::Map, &[rows, maps[0]]));
        }
        let images = self.network.decode(&mut graph, &codes)?;
        Ok(graph.finish(vec![(IMAGES.into(), images)]))
    }

    /// The indices `[B, N, 1]` of every codebook as the grid that `encode` gives, with the positions of `like`.
    fn grid(&self, graph: &mut Builder, indices: &[Value], like: Value) -> Value {
        let rows = if indices.len() == 1 { indices[0] } else { graph.push(Op::Concat { axis: 2 }, indices) };
        let grid = graph.push(Op::Map, &[rows, like]);
        if self.facts.is_single() { graph.map(Op::Squeeze { axis: 1 }, grid) } else { grid }
    }

    /// A grid that `decode` takes as a map `[B, 1, H', W']` for every codebook.
    fn maps(&self, graph: &mut Builder, grid: Value) -> Vec<Value> {
        match self.quantizer.codebooks() {
            _ if self.facts.is_single() => vec![graph.map(Op::Unsqueeze { axis: 1 }, grid)],
            1 => vec![grid],
            count => {
                let part = |start| Op::Narrow { axis: 1, start, length: 1 };
                (0..count as i64).map(|start| graph.map(part(start), grid)).collect()
            }
        }
    }
}
