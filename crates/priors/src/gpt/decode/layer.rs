//! One block, a few positions at a time.

use tch::{Device, Kind, Tensor};

use super::cache::Cache;
use super::product::{Product, own_copy};
use crate::gpt::block::{Block, Linear, Mlp, Norm, Projections, rotate};
use crate::kernels::{Heads, Past, attend, numbers, numbers_mut};
use crate::{PriorError, WeightDtype};

/// A block's weights, each half's input weights in one.
#[derive(Debug)]
pub(super) struct DecodeLayer {
    attention_norm: Norm,
    /// Queries, keys and values.
    projections: Product,
    out: Product,
    mlp_norm: Norm,
    /// Of SwiGLU: gate and up.
    up: Product,
    down: Product,
    gated: bool,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
}

impl DecodeLayer {
    pub(super) fn new(block: &Block, dtype: WeightDtype) -> Result<Self, PriorError> {
        let attention = &block.attention;
        let product = |linear: &Linear| Product::new(&linear.weight, linear.bias.as_ref(), dtype);
        let projections = match &attention.projections {
            Projections::Fused(all) => product(all)?,
            Projections::Separate(each) => product(&joined(&each.each_ref())?)?,
        };
        let (up, down, gated) = match &block.mlp {
            Mlp::Gelu { up, down } => (product(up)?, product(down)?, false),
            Mlp::SwiGlu { gate, up, down } => (product(&joined(&[gate, up])?)?, product(down)?, true),
        };
        let norm = |norm: &Norm| norm.map(&mut own_copy);
        Ok(Self {
            attention_norm: norm(&block.attention_norm),
            projections,
            out: product(&attention.out)?,
            mlp_norm: norm(&block.mlp_norm),
            up,
            down,
            gated,
            heads: attention.heads,
            kv_heads: attention.kv_heads,
            head_dim: attention.head_dim(),
        })
    }

    /// Changes `hidden` `[B, T, D]` in place; puts its keys and values into layer `index` of the cache.
    pub(super) fn forward(
        &self,
        hidden: &Tensor,
        cache: &Cache,
        index: usize,
        rotation: Option<&Tensor>,
        mask: Option<&Tensor>,
    ) -> Result<(), PriorError> {
        let all = self.projections.forward(&self.attention_norm.forward(hidden)?)?;
        let mut first = 0;
        let mut part = |heads: i64| {
            let part = all.f_narrow(-1, first, heads * self.head_dim)?.f_unflatten(-1, [heads, self.head_dim])?;
            first += heads * self.head_dim;
            Ok::<_, PriorError>(part)
        };
        let (query, key, value) = (part(self.heads)?, part(self.kv_heads)?, part(self.kv_heads)?);
        let (query, key) = match rotation {
            Some(rotation) => (rotate(&query.f_contiguous()?, rotation)?, rotate(&key.f_contiguous()?, rotation)?),
            None => (query, key),
        };
        cache.write(index, &key, &value)?;
        self.out.add_to(&self.attend(&query, cache, index, mask)?, hidden)?;
        let read = self.up.forward(&self.mlp_norm.forward(hidden)?)?;
        self.down.add_to(&self.activate(read)?, hidden)
    }

    /// The output of attention for queries `[B, T, heads, dim]`, `[B, T, D]`.
    fn attend(&self, query: &Tensor, cache: &Cache, index: usize, mask: Option<&Tensor>) -> Result<Tensor, PriorError> {
        let (batch, length, ..) = query.size4()?;
        let width = self.heads * self.head_dim;
        if length == 1 && query.device() == Device::Cpu {
            let query = query.f_contiguous()?;
            let output = Tensor::f_empty([batch, 1, width], (Kind::Float, Device::Cpu))?;
            let heads = Heads { count: self.heads as usize, kv: self.kv_heads as usize, dim: self.head_dim as usize };
            let [keys, values] = cache.whole(index);
            let past = Past {
                keys: numbers(keys),
                values: numbers(values),
                capacity: cache.capacity() as usize,
                length: cache.length() as usize + 1,
                bias: cache.bias().map(numbers),
            };
            // SAFETY: the output is new, and nothing else uses the memory for scores.
            let (scores, written) = unsafe { (numbers_mut(cache.scores()), numbers_mut(&output)) };
            attend(heads, numbers(&query), &past, scores, written);
            return Ok(output);
        }
        let [keys, values] = cache.first(index, cache.length() + length)?;
        let query = query.f_transpose(1, 2)?.f_to_kind(keys.kind())?;
        let is_causal = mask.is_none() && length > 1;
        let grouped = self.heads != self.kv_heads;
        let read = Tensor::f_scaled_dot_product_attention(&query, &keys, &values, mask, 0.0, is_causal, None, grouped)?;
        Ok(read.f_transpose(1, 2)?.f_reshape([batch, length, width])?.f_to_kind(Kind::Float)?)
    }

    fn activate(&self, read: Tensor) -> Result<Tensor, PriorError> {
        if !self.gated {
            for mut rows in alike_in_every_batch(&read)? {
                let _ = rows.f_gelu_("none")?;
            }
            return Ok(read);
        }
        let half = read.size()[2] / 2;
        let (gate, up) = (read.f_narrow(-1, 0, half)?.f_contiguous()?, read.f_narrow(-1, half, half)?);
        for mut rows in alike_in_every_batch(&gate)? {
            let _ = rows.f_silu_()?;
        }
        Ok(gate.f_mul(&up)?)
    }
}

/// Numbers above which libtorch splits an operation among its threads.
const SHARED_OUT: i64 = 32_768;
/// The most numbers of a vector of libtorch's.
const VECTORS: i64 = 64;

/// Pieces of contiguous `rows` `[.., width]` in which every number is computed in the same way whatever the number of rows: libtorch
/// uses other functions for the numbers after the last whole vector of a piece, or of a thread's part of it.
fn alike_in_every_batch(rows: &Tensor) -> Result<Vec<Tensor>, PriorError> {
    let width = rows.size()[rows.dim() - 1];
    let flat = rows.f_view([-1, width])?;
    let most = if width % VECTORS == 0 { ((SHARED_OUT - 1) / width).max(1) } else { 1 };
    let count = flat.size()[0];
    (0..count).step_by(most as usize).map(|first| Ok(flat.f_narrow(0, first, most.min(count - first))?)).collect()
}

/// Several layers of the same input as one.
fn joined(layers: &[&Linear]) -> Result<Linear, PriorError> {
    let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
    let biases: Vec<&Tensor> = layers.iter().filter_map(|layer| layer.bias.as_ref()).collect();
    let bias = (!biases.is_empty()).then(|| Tensor::f_cat(&biases, 0)).transpose()?;
    Ok(Linear { weight: Tensor::f_cat(&weights, 0)?, bias })
}
