//! Quantizers that contain others.

use vqkit_quantizer::{ProductQuantizerConfig, ResidualQuantizerConfig};

use super::projection::{enter, leave};
use super::quantizer::Quantizer;
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// `residual`: level `i`, at `layers.i`, quantizes what the levels before it left over.
pub(super) struct Residual<'a> {
    levels: usize,
    inner: Box<dyn Quantizer + 'a>,
}

impl<'a> Residual<'a> {
    /// `inner`: the quantizer of every level.
    pub fn new(config: &ResidualQuantizerConfig, inner: Box<dyn Quantizer + 'a>) -> Self {
        Self { levels: config.num_quantizers as usize, inner }
    }
}

impl Quantizer for Residual<'_> {
    fn codebooks(&self) -> usize {
        self.levels * self.inner.codebooks()
    }

    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let (mut rest, mut all) = (latents, Vec::new());
        for level in 0..self.levels {
            let at = format!("{at}.layers.{level}");
            let indices = self.inner.choose(graph, &at, dim, rest)?;
            let codes = self.inner.lookup(graph, &at, dim, &indices)?;
            rest = graph.push(Op::Sub, &[rest, codes]);
            all.extend(indices);
        }
        Ok(all)
    }

    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let (first, others) = indices.split_at(self.inner.codebooks());
        let mut sum = self.inner.lookup(graph, &format!("{at}.layers.0"), dim, first)?;
        for (level, indices) in (1..).zip(others.chunks(self.inner.codebooks())) {
            let codes = self.inner.lookup(graph, &format!("{at}.layers.{level}"), dim, indices)?;
            sum = graph.push(Op::Add, &[sum, codes]);
        }
        Ok(sum)
    }
}

/// `product`: group `i` of the channels is quantized at `groups.i`.
pub(super) struct Product<'a> {
    config: &'a ProductQuantizerConfig,
    inner: Box<dyn Quantizer + 'a>,
}

impl<'a> Product<'a> {
    /// `inner`: the quantizer of every group.
    pub fn new(config: &'a ProductQuantizerConfig, inner: Box<dyn Quantizer + 'a>) -> Self {
        Self { config, inner }
    }

    /// Width of a group.
    fn width(&self, dim: i64) -> i64 {
        self.config.codebook_dim.unwrap_or(dim / self.config.groups)
    }
}

impl Quantizer for Product<'_> {
    fn codebooks(&self) -> usize {
        self.config.groups as usize * self.inner.codebooks()
    }

    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError> {
        let width = self.width(dim);
        let rows = enter(graph, at, latents, dim, width * self.config.groups)?;
        let mut all = Vec::new();
        for group in 0..self.config.groups {
            let part = graph.map(Op::Narrow { axis: 2, start: group * width, length: width }, rows);
            all.extend(self.inner.choose(graph, &format!("{at}.groups.{group}"), width, part)?);
        }
        Ok(all)
    }

    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError> {
        let width = self.width(dim);
        let mut parts = Vec::new();
        for (group, indices) in indices.chunks(self.inner.codebooks()).enumerate() {
            parts.push(self.inner.lookup(graph, &format!("{at}.groups.{group}"), width, indices)?);
        }
        let codes = graph.push(Op::Concat { axis: 2 }, &parts);
        leave(graph, at, codes, dim, width * self.config.groups)
    }
}
