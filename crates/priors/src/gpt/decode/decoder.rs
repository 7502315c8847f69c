//! The weights of a transformer, arranged for a few positions at a time.

use tch::{Device, Kind, Tensor};
use vqkit_torch::autocast;

use super::cache::Cache;
use super::layer::DecodeLayer;
use super::product::{Product, own_copy};
use crate::gpt::block::Norm;
use crate::gpt::transformer::Transformer;
use crate::{PriorError, WeightDtype};

/// A copy of the weights, arranged for sampling; it does not follow later changes.
#[derive(Debug)]
pub(in crate::gpt) struct Decoder {
    /// `[V, D]`
    tokens: Tensor,
    /// `[1, S, D]`
    positions: Option<Tensor>,
    layers: Vec<DecodeLayer>,
    norm: Norm,
    /// One for each codebook.
    pub(super) heads: Vec<Product>,
    /// The kind of the cached keys and values.
    pub(super) kind: Kind,
}

impl Decoder {
    pub(in crate::gpt) fn new(transformer: &Transformer, dtype: WeightDtype) -> Result<Self, PriorError> {
        let _guard = tch::no_grad_guard();
        let network = &transformer.network;
        let device = network.tokens.device();
        let head = |book: usize| {
            let first: i64 = transformer.spec.target.sizes[..book].iter().sum();
            Product::new(&network.head.f_narrow(0, first, transformer.spec.target.sizes[book])?, None, dtype)
        };
        let layers = network.blocks.iter().map(|block| DecodeLayer::new(block, dtype));
        Ok(Self {
            tokens: own_copy(&network.tokens),
            positions: network.positions.as_ref().map(own_copy),
            layers: layers.collect::<Result<_, _>>()?,
            norm: network.norm.map(&mut own_copy),
            heads: (0..transformer.spec.target.sizes.len()).map(head).collect::<Result<_, _>>()?,
            kind: if device == Device::Cpu || dtype == WeightDtype::Fp32 { Kind::Float } else { Kind::BFloat16 },
        })
    }

    /// The number of layers.
    pub(super) fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// The data type of weights that nobody chose: bf16 under autocast on a GPU, else fp32.
    pub(in crate::gpt) fn default_dtype(device: Device) -> WeightDtype {
        match autocast::current(device) {
            Some(Kind::BFloat16) if device != Device::Cpu => WeightDtype::Bf16,
            _ => WeightDtype::Fp32,
        }
    }

    /// Reads `input` `[B, T, D]`, which is overwritten, behind what `cache` holds; gives the last position, normalised, `[B, D]`.
    pub(super) fn advance(
        &self,
        cache: &mut Cache,
        input: &Tensor,
        rotation: Option<&Tensor>,
    ) -> Result<Tensor, PriorError> {
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
    pub(super) fn embed(&self, tokens: &Tensor, position: i64) -> Result<Tensor, PriorError> {
        let embedded = self.tokens.f_index_select(0, tokens)?.f_unsqueeze(1)?;
        self.add_positions(embedded, position)
    }

    /// Adds the vectors of the positions from `first` on to `embedded` `[B, T, D]`.
    pub(super) fn add_positions(&self, embedded: Tensor, first: i64) -> Result<Tensor, PriorError> {
        match &self.positions {
            Some(table) => Ok(embedded.f_add(&table.f_narrow(1, first, embedded.size3()?.1)?)?),
            None => Ok(embedded),
        }
    }
}
