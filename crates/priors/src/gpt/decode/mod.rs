//! Sampling: weights arranged for a token at a time, and the keys and values that are kept.

mod cache;
mod cursor;
mod layer;
mod product;

use tch::{Device, Kind, Tensor};

use self::cache::Cache;
use self::layer::DecodeLayer;
use self::product::Product;
use super::block::Norm;
use super::{Gpt, Layout};
use crate::{PriorError, SamplingWeights};

pub use cursor::GptCursor;
pub(super) use cursor::arithmetic;

/// In f32, in memory of its own.
fn own_copy(weight: &Tensor) -> Tensor {
    weight.detach().to_kind(Kind::Float).copy()
}

/// The weights as sampling reads them: a copy, which does not follow later changes.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `[V, D]`
    tokens: Tensor,
    /// `[1, S, D]`
    positions: Option<Tensor>,
    layers: Vec<DecodeLayer>,
    norm: Norm,
    /// One for each codebook.
    heads: Vec<Product>,
    /// What keys and values are kept in.
    kind: Kind,
}

impl Decoder {
    pub(super) fn new(gpt: &Gpt, weights: SamplingWeights) -> Result<Self, PriorError> {
        let _guard = tch::no_grad_guard();
        let network = &gpt.network;
        let device = network.tokens.device();
        let head = |book: usize| {
            let first: i64 = gpt.spec.sizes[..book].iter().sum();
            Product::new(&network.head.f_narrow(0, first, gpt.spec.sizes[book])?, None, weights)
        };
        let layers = network.blocks.iter().map(|block| DecodeLayer::new(block, weights));
        Ok(Self {
            tokens: own_copy(&network.tokens),
            positions: network.positions.as_ref().map(own_copy),
            layers: layers.collect::<Result<_, _>>()?,
            norm: network.norm.map(&mut own_copy),
            heads: (0..gpt.spec.sizes.len()).map(head).collect::<Result<_, _>>()?,
            kind: if device == Device::Cpu || weights == SamplingWeights::Fp32 { Kind::Float } else { Kind::BFloat16 },
        })
    }

    /// Reads `input` `[B, T, D]`, which it uses up, behind what `cache` holds; gives the last position, normalised, `[B, D]`.
    fn advance(&self, cache: &mut Cache, input: &Tensor, rotation: Option<&Tensor>) -> Result<Tensor, PriorError> {
        let length = input.size3()?.1;
        let rotation = rotation.map(|table| table.f_narrow(0, cache.length(), length)).transpose()?;
        let mask = cache.mask(length)?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(input, cache, index, rotation.as_ref(), mask.as_ref())?;
        }
        cache.grow(length);
        self.norm.forward(&input.f_select(1, length - 1)?.f_contiguous()?)
    }

    /// Vectors `[B, 1, D]` of the tokens `[B]` (rows of the table) at a position of the sequence.
    fn embed(&self, tokens: &Tensor, position: i64) -> Result<Tensor, PriorError> {
        let embedded = self.tokens.f_index_select(0, tokens)?.f_unsqueeze(1)?;
        self.place(embedded, position)
    }

    /// Adds the vectors of the positions from `first` on to `embedded` `[B, T, D]`.
    fn place(&self, embedded: Tensor, first: i64) -> Result<Tensor, PriorError> {
        match &self.positions {
            Some(table) => Ok(embedded.f_add(&table.f_narrow(1, first, embedded.size3()?.1)?)?),
            None => Ok(embedded),
        }
    }
}
