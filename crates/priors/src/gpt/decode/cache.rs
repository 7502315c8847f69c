//! Keys and values of all positions that were read, in memory that is allocated once.

use tch::{Kind, Tensor};

use super::{Gpt, Layout};
use crate::{Condition, PriorError};

/// Keys and values of every layer, `[B, kept heads, S, dim]` each.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<[Tensor; 2]>,
    length: i64,
    capacity: i64,
    unmasked: i64,
    /// Which positions may be looked at, bool `[B, S]`, where some are padding.
    seen: Option<Tensor>,
    /// The same as what is added to scores, 0 or -∞.
    bias: Option<Tensor>,
    /// Room for the scores of one position, `[B, heads, S]`.
    scores: Tensor,
}

impl Cache {
    pub(super) fn new(gpt: &Gpt, condition: &Condition, batch: i64, kind: Kind) -> Result<Self, PriorError> {
        let (capacity, device) = (gpt.layout.length(), gpt.network.tokens.device());
        let empty = |heads: i64, dim: i64| Tensor::f_zeros([batch, heads, capacity, dim], (kind, device));
        let layers = gpt.network.blocks.iter().map(|block| {
            let (heads, dim) = (block.attention.kept_heads, block.attention.head_dim());
            Ok::<_, PriorError>([empty(heads, dim)?, empty(heads, dim)?])
        });
        let seen = gpt.layout.counting(condition, capacity, device)?;
        let bias = seen.as_ref().map(|seen| {
            Tensor::zeros(seen.size(), (Kind::Float, device)).f_masked_fill(&seen.logical_not(), f64::NEG_INFINITY)
        });
        let heads = gpt.network.blocks.iter().map(|block| block.attention.heads).max().unwrap_or(0);
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
            length: 0,
            capacity,
            unmasked: gpt.options.n_unmasked,
            seen,
            bias: bias.transpose()?,
            scores: Tensor::f_empty([batch, heads, capacity], (Kind::Float, device))?,
        })
    }

    /// Positions that were read.
    pub(super) fn length(&self) -> i64 {
        self.length
    }

    /// Positions that there is room for.
    pub(super) fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Room for the scores of one position, `[B, heads, S]`.
    pub(super) fn scores(&self) -> &Tensor {
        &self.scores
    }

    /// What is added to the scores of all positions, `[B, S]`.
    pub(super) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Counts positions as read.
    pub(super) fn grow(&mut self, positions: i64) {
        self.length += positions;
    }

    /// Writes keys and values `[B, T, kept heads, dim]` of the next positions.
    pub(super) fn write(&self, layer: usize, key: &Tensor, value: &Tensor) -> Result<(), PriorError> {
        for (kept, new) in self.layers[layer].iter().zip([key, value]) {
            kept.f_narrow(2, self.length, new.size()[1])?.f_copy_(&new.f_transpose(1, 2)?)?;
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

    /// Where the next `positions` may look, bool `[1 or B, 1, T, S]`; none: at all that precede them.
    pub(super) fn mask(&self, positions: i64) -> Result<Option<Tensor>, PriorError> {
        let all = self.length + positions;
        let seen =
            self.seen.as_ref().map(|seen| seen.f_narrow(1, 0, all)?.f_unsqueeze(1)?.f_unsqueeze(1)).transpose()?;
        if positions == 1 || seen.is_none() && self.length == 0 && self.unmasked == 0 {
            return Ok(seen);
        }
        let device = self.scores.device();
        let causal = Layout::causal(all, self.unmasked, device).f_narrow(0, self.length, positions)?;
        let Some(seen) = seen else { return Ok(Some(causal.f_unsqueeze(0)?.f_unsqueeze(0)?)) };
        let itself = Tensor::eye(all, (Kind::Float, device)).to_kind(Kind::Bool).f_narrow(0, self.length, positions)?;
        Ok(Some(seen.f_logical_and(&causal)?.f_logical_or(&itself)?))
    }
}
