//! Keys and values of all positions read so far, in memory that is allocated once.

use tch::{Kind, Tensor};

use crate::gpt::layout::Layout;
use crate::gpt::transformer::Transformer;
use crate::{Condition, PriorError};

/// Keys and values of every layer, `[B, kv heads, S, dim]` each.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<[Tensor; 2]>,
    length: i64,
    capacity: i64,
    unmasked: i64,
    /// False for padding, bool `[B, S]`; none: there is no padding.
    padding_mask: Option<Tensor>,
    /// The same as a term of the scores, 0 or -∞.
    bias: Option<Tensor>,
    /// Room for the scores of one position, `[B, heads, S]`.
    scores: Tensor,
}

impl Cache {
    pub(super) fn new(
        transformer: &Transformer,
        condition: &Condition,
        batch: i64,
        kind: Kind,
    ) -> Result<Self, PriorError> {
        let (capacity, device) = (transformer.layout.length(), transformer.device());
        let empty = |heads: i64, dim: i64| Tensor::f_zeros([batch, heads, capacity, dim], (kind, device));
        let layers = transformer.network.blocks.iter().map(|block| {
            let (heads, dim) = (block.attention.kv_heads, block.attention.head_dim());
            Ok::<_, PriorError>([empty(heads, dim)?, empty(heads, dim)?])
        });
        let padding_mask = transformer.layout.padding_mask(condition, capacity, device)?;
        let bias = padding_mask.as_ref().map(|mask| {
            Tensor::zeros(mask.size(), (Kind::Float, device)).f_masked_fill(&mask.logical_not(), f64::NEG_INFINITY)
        });
        let heads = transformer.network.blocks.iter().map(|block| block.attention.heads).max().unwrap_or(0);
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            length: 0,
            capacity,
            unmasked: transformer.options.n_unmasked,
            padding_mask,
            bias: bias.transpose()?,
            scores: Tensor::f_empty([batch, heads, capacity], (Kind::Float, device))?,
        })
    }

    /// Number of positions read.
    pub(super) fn length(&self) -> i64 {
        self.length
    }

    /// Number of positions that fit.
    pub(super) fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Room for the scores of one position, `[B, heads, S]`.
    pub(super) fn scores(&self) -> &Tensor {
        &self.scores
    }

    /// A term of the scores of all positions, `[B, S]`, where some are padding.
    pub(super) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Counts positions as read.
    pub(super) fn grow(&mut self, positions: i64) {
        self.length += positions;
    }

    /// Writes keys and values `[B, T, kv heads, dim]` of the next positions.
    pub(super) fn write(&self, layer: usize, key: &Tensor, value: &Tensor) -> Result<(), PriorError> {
        for (cached, new) in self.layers[layer].iter().zip([key, value]) {
            cached.f_narrow(2, self.length, new.size()[1])?.f_copy_(&new.f_transpose(1, 2)?)?;
        }
        Ok(())
    }

    /// All the memory of a layer.
    pub(super) fn whole(&self, layer: usize) -> [&Tensor; 2] {
        self.layers[layer].each_ref()
    }

    /// The first `length` positions of a layer.
    pub(super) fn first(&self, layer: usize, length: i64) -> Result<[Tensor; 2], PriorError> {
        let [keys, values] = &self.layers[layer];
        Ok([keys.f_narrow(2, 0, length)?, values.f_narrow(2, 0, length)?])
    }

    /// The attention mask of the next `positions`, bool `[1 or B, 1, T, S]`; none: a causal mask.
    pub(super) fn mask(&self, positions: i64) -> Result<Option<Tensor>, PriorError> {
        let all = self.length + positions;
        let unpadded = self
            .padding_mask
            .as_ref()
            .map(|mask| mask.f_narrow(1, 0, all)?.f_unsqueeze(1)?.f_unsqueeze(1))
            .transpose()?;
        if positions == 1 || unpadded.is_none() && self.length == 0 && self.unmasked == 0 {
            return Ok(unpadded);
        }
        let device = self.scores.device();
        let causal = Layout::causal(all, self.unmasked, device).f_narrow(0, self.length, positions)?;
        let Some(unpadded) = unpadded else { return Ok(Some(causal.f_unsqueeze(0)?.f_unsqueeze(0)?)) };
        let itself = Tensor::eye(all, (Kind::Float, device)).to_kind(Kind::Bool).f_narrow(0, self.length, positions)?;
        Ok(Some(unpadded.f_logical_and(&causal)?.f_logical_or(&itself)?))
    }
}
