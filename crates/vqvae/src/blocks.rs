//! Building blocks of encoders and decoders: strided convolutions, normalisation and residual blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{self, Module, ModuleT};

/// Largest number of groups of a group normalisation.
const GROUPS: i64 = 32;

/// Normalisation after convolutions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormKind {
    /// None.
    #[default]
    None,
    /// Batch normalisation, with running statistics for evaluation.
    Batch,
    /// Group normalisation; the number of groups is the largest up to 32 that divides the channels.
    Group,
}

/// Order of the operations in a residual block; `n` is the normalisation, `f` and `g` are the convolutions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Residual {
    /// `x + n(g(relu(n(f(relu(x))))))`.
    #[default]
    Plain,
    /// The same with `relu(x)` in place of `x`, which is the effect of an in-place ReLU at the start of the branch.
    Rectified,
    /// `x + g(relu(n(f(relu(n(x))))))`: normalisation before each ReLU, and nothing after the sum (He et al. 2016,
    /// "Identity Mappings in Deep Residual Networks", figure 4e).
    Preactivated,
}

/// A normalisation, or nothing.
#[derive(Debug)]
pub(crate) enum Norm {
    None,
    Batch(nn::BatchNorm),
    Group(nn::GroupNorm),
}

impl Norm {
    pub fn new(vs: &nn::Path, kind: NormKind, channels: i64) -> Self {
        match kind {
            NormKind::None => Self::None,
            NormKind::Batch => {
                let config = nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), ..Default::default() };
                Self::Batch(nn::batch_norm2d(vs, channels, config))
            }
            NormKind::Group => {
                let groups = (1..=GROUPS.min(channels)).rev().find(|groups| channels % groups == 0).unwrap_or(1);
                Self::Group(nn::group_norm(vs, groups, channels, Default::default()))
            }
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        match self {
            Self::None => x.shallow_clone(),
            Self::Batch(norm) => norm.forward_t(x, train),
            Self::Group(norm) => norm.forward(x),
        }
    }
}

/// A convolution of `size` by `size` that keeps height and width; `size` is odd.
pub(crate) fn conv(vs: nn::Path, channels_in: i64, channels_out: i64, size: i64) -> nn::Conv2D {
    let config = nn::ConvConfig { padding: size / 2, ..Default::default() };
    nn::conv2d(vs, channels_in, channels_out, size, config)
}

/// A strided 4×4 convolution that halves height and width.
pub(crate) fn halve(vs: nn::Path, channels_in: i64, channels_out: i64) -> nn::Conv2D {
    let config = nn::ConvConfig { stride: 2, padding: 1, ..Default::default() };
    nn::conv2d(vs, channels_in, channels_out, 4, config)
}

/// A strided 4×4 transposed convolution that doubles height and width.
pub(crate) fn double(vs: nn::Path, channels_in: i64, channels_out: i64) -> nn::ConvTranspose2D {
    let config = nn::ConvTransposeConfig { stride: 2, padding: 1, ..Default::default() };
    nn::conv_transpose2d(vs, channels_in, channels_out, 4, config)
}

/// The shape of the residual blocks of a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResidualShape {
    pub blocks: i64,
    pub channels: i64,
    pub norm: NormKind,
    pub order: Residual,
}

impl ResidualShape {
    /// Number of weights of the convolutions of all blocks, for this many channels.
    pub fn parameters(&self, channels: i64) -> i64 {
        self.blocks * channels * self.channels * (9 + 1)
    }
}

/// Residual blocks one after the other.
#[derive(Debug)]
pub(crate) struct ResidualStack(Vec<ResidualBlock>);

impl ResidualStack {
    pub fn new(vs: &nn::Path, width: i64, shape: ResidualShape) -> Self {
        Self((0..shape.blocks).map(|block| ResidualBlock::new(&(vs / block), width, shape)).collect())
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: Tensor, train: bool) -> Tensor {
        self.0.iter().fold(x, |x, block| block.forward(&x, train))
    }
}

/// ReLU, 3×3 convolution, ReLU, 1×1 convolution, added to the input (van den Oord et al. 2017, section 4.1).
#[derive(Debug)]
struct ResidualBlock {
    head_norm: Norm,
    narrow: nn::Conv2D,
    narrow_norm: Norm,
    widen: nn::Conv2D,
    widen_norm: Norm,
    order: Residual,
}

impl ResidualBlock {
    fn new(vs: &nn::Path, width: i64, shape: ResidualShape) -> Self {
        let (head, tail) = match shape.order {
            Residual::Plain | Residual::Rectified => (NormKind::None, shape.norm),
            Residual::Preactivated => (shape.norm, NormKind::None),
        };
        Self {
            head_norm: Norm::new(&(vs / "head_norm"), head, width),
            narrow: conv(vs / "narrow", width, shape.channels, 3),
            narrow_norm: Norm::new(&(vs / "narrow_norm"), shape.norm, shape.channels),
            widen: conv(vs / "widen", shape.channels, width, 1),
            widen_norm: Norm::new(&(vs / "widen_norm"), tail, width),
            order: shape.order,
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let rectified = self.head_norm.forward(x, train).relu();
        let narrow = self.narrow_norm.forward(&rectified.apply(&self.narrow), train).relu();
        let branch = self.widen_norm.forward(&narrow.apply(&self.widen), train);
        match self.order {
            Residual::Plain | Residual::Preactivated => x + branch,
            Residual::Rectified => rectified + branch,
        }
    }
}
