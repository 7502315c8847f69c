//! One block of the transformer: attention, then an MLP, each with a residual connection.

use tch::{Kind, Tensor};

use crate::PriorError;

/// `input · weightᵀ + bias`.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[outputs, inputs]`
    pub weight: Tensor,
    /// `[outputs]`
    pub bias: Option<Tensor>,
}

/// The normalisation of the input of either half.
#[derive(Debug)]
pub(super) enum Norm {
    /// To mean 0 and variance 1 (Ba et al. 2016).
    Layer { weight: Tensor, bias: Tensor },
    /// To a mean square of 1 (Zhang & Sennrich 2019).
    Rms { weight: Tensor, eps: f64 },
}

/// Queries, keys and values of the input.
#[derive(Debug)]
pub(super) enum Projections {
    /// A layer each, in this order.
    Separate([Linear; 3]),
    /// One layer for all, in this order.
    Fused(Linear),
}

/// Attention of several heads; `kv_heads` of keys and values, each shared by as many heads of queries (grouped-query attention).
#[derive(Debug)]
pub(super) struct Attention {
    pub projections: Projections,
    pub out: Linear,
    pub heads: i64,
    pub kv_heads: i64,
    /// Dropout of the attention weights in training.
    pub dropout: f64,
}

/// The second half of a block.
#[derive(Debug)]
pub(super) enum Mlp {
    /// `down(gelu(up(x)))`
    Gelu { up: Linear, down: Linear },
    /// `down(silu(gate(x)) · up(x))` (Shazeer 2020)
    SwiGlu { gate: Linear, up: Linear, down: Linear },
}

/// A block.
#[derive(Debug)]
pub(super) struct Block {
    pub attention_norm: Norm,
    pub attention: Attention,
    pub mlp_norm: Norm,
    pub mlp: Mlp,
    /// Dropout of the output of attention in training.
    pub residual_dropout: f64,
    /// Dropout of the output of the MLP in training.
    pub mlp_dropout: f64,
}

/// The input that all blocks share in one pass over sequences of `S` positions.
#[derive(Debug)]
pub(super) struct Pass {
    /// The rotation of every position, `[S, 1, dim / 2]`, complex.
    pub rotation: Option<Tensor>,
    /// The attention mask, bool, `[.., S, S]`; none: a causal mask.
    pub mask: Option<Tensor>,
    /// Whether dropout acts.
    pub train: bool,
}

impl Linear {
    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Self { weight: change(&self.weight), bias: self.bias.as_ref().map(change) }
    }

    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, PriorError> {
        Ok(input.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

impl Norm {
    /// The same with `change` applied to each weight.
    pub(super) fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Layer { weight, bias } => Self::Layer { weight: change(weight), bias: change(bias) },
            Self::Rms { weight, eps } => Self::Rms { weight: change(weight), eps: *eps },
        }
    }

    /// In f32, whatever the input; the result is of the input's kind.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, PriorError> {
        Ok(match self {
            Self::Layer { weight, bias } => {
                input.f_layer_norm(weight.size(), Some(weight), Some(bias), LAYER_NORM_EPS, false)?
            }
            Self::Rms { weight, eps } => {
                let numbers = input.f_to_kind(Kind::Float)?;
                let scale = numbers.f_square()?.f_mean_dim(&[-1i64][..], true, Kind::Float)?.f_add_scalar(*eps)?;
                numbers.f_mul(&scale.f_rsqrt()?)?.f_to_kind(input.kind())?.f_mul(weight)?
            }
        })
    }
}

/// PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

impl Projections {
    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Separate(each) => Self::Separate(each.each_ref().map(|linear| linear.map(change))),
            Self::Fused(all) => Self::Fused(all.map(change)),
        }
    }

    /// Queries, keys and values of `input` `[.., D]`, each `[.., heads · dim]`.
    fn forward(&self, input: &Tensor, kv: i64) -> Result<[Tensor; 3], PriorError> {
        match self {
            Self::Separate([query, key, value]) => {
                Ok([query.forward(input)?, key.forward(input)?, value.forward(input)?])
            }
            Self::Fused(all) => {
                let all = all.forward(input)?;
                let width = all.size()[all.dim() - 1];
                let queries = width - 2 * kv;
                let part = |first, length| all.f_narrow(-1, first, length);
                Ok([part(0, queries)?, part(queries, kv)?, part(queries + kv, kv)?])
            }
        }
    }
}

impl Attention {
    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Self { projections: self.projections.map(change), out: self.out.map(change), ..*self }
    }

    /// Width of a head.
    pub(super) fn head_dim(&self) -> i64 {
        self.out.weight.size()[1] / self.heads
    }

    /// `[B, S, D]` to the same.
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, PriorError> {
        let (batch, length, width) = input.size3()?;
        let dim = self.head_dim();
        let [query, key, value] = self.projections.forward(input, self.kv_heads * dim)?;
        let split = |tensor: &Tensor, heads: i64| tensor.f_view([batch, length, heads, dim]);
        let (query, key) = (split(&query, self.heads)?, split(&key, self.kv_heads)?);
        let (query, key) = match &pass.rotation {
            Some(rotation) => (rotate(&query, rotation)?, rotate(&key, rotation)?),
            None => (query, key),
        };
        let value = split(&value, self.kv_heads)?;
        let [query, key, value] = [query, key, value].map(|tensor| tensor.transpose(1, 2));
        let mixed = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            pass.mask.as_ref(),
            if pass.train { self.dropout } else { 0.0 },
            pass.mask.is_none(),
            None,
            self.heads != self.kv_heads,
        )?;
        self.out.forward(&mixed.f_transpose(1, 2)?.f_reshape([batch, length, width])?)
    }
}

impl Mlp {
    fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Gelu { up, down } => Self::Gelu { up: up.map(change), down: down.map(change) },
            Self::SwiGlu { gate, up, down } => {
                Self::SwiGlu { gate: gate.map(change), up: up.map(change), down: down.map(change) }
            }
        }
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor, PriorError> {
        match self {
            Self::Gelu { up, down } => down.forward(&up.forward(input)?.f_gelu("none")?),
            Self::SwiGlu { gate, up, down } => {
                down.forward(&gate.forward(input)?.f_silu()?.f_mul(&up.forward(input)?)?)
            }
        }
    }
}

impl Pass {
    pub(super) fn shallow_clone(&self) -> Self {
        let share = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        Self { rotation: share(&self.rotation), mask: share(&self.mask), train: self.train }
    }
}

impl Block {
    /// The same block with `change` applied to each weight.
    pub(super) fn map(&self, change: &mut dyn FnMut(&Tensor) -> Tensor) -> Self {
        Self {
            attention_norm: self.attention_norm.map(change),
            attention: self.attention.map(change),
            mlp_norm: self.mlp_norm.map(change),
            mlp: self.mlp.map(change),
            ..*self
        }
    }

    /// `[B, S, D]` to the same.
    pub(super) fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, PriorError> {
        let read = self.attention.forward(&self.attention_norm.forward(input)?, pass)?;
        let input = input.f_add(&read.f_dropout(self.residual_dropout, pass.train)?)?;
        let read = self.mlp.forward(&self.mlp_norm.forward(&input)?)?;
        Ok(input.f_add(&read.f_dropout(self.mlp_dropout, pass.train)?)?)
    }
}

/// Rotates the pairs of neighbours of heads `[B, S, heads, dim]` by `rotation` `[S, 1, dim / 2]`.
pub(super) fn rotate(heads: &Tensor, rotation: &Tensor) -> Result<Tensor, PriorError> {
    let mut pairs = heads.size();
    let dim = pairs.pop().unwrap_or_default();
    pairs.extend([dim / 2, 2]);
    let turned = heads.f_to_kind(Kind::Float)?.f_view(pairs.as_slice())?.f_view_as_complex()?.f_mul(rotation)?;
    Ok(turned.f_view_as_real()?.f_flatten(-2, -1)?.f_to_kind(heads.kind())?)
}
