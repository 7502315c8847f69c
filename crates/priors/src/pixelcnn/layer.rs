//! One layer of both stacks.

use tch::Tensor;
use tch::nn::{self, Module};

use super::context::Context;
use super::init::{conv, embedding, xavier};
use crate::PriorError;

/// The shape of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub dim: i64,
    pub kernel_size: i64,
    /// The first layer does not see the position itself, and has no residual.
    pub first: bool,
    /// Rows of the table of classes.
    pub classes: Option<i64>,
    /// Whether condition grids give features.
    pub has_features: bool,
}

/// A gated layer: vertical convolution, horizontal convolution, and the connection from the first to the second.
#[derive(Debug)]
pub(super) struct GatedLayer {
    pub shape: Shape,
    /// `[2D, D, r + 1, 2r + 1]`, where `r` is the kernel's radius.
    pub vert_stack: nn::Conv<[i64; 2]>,
    /// `[2D, 2D, 1, 1]`
    pub vert_to_horiz: nn::Conv<[i64; 2]>,
    /// `[2D, D, 1, r + 1]`
    pub horiz_stack: nn::Conv<[i64; 2]>,
    /// `[D, D, 1, 1]`
    pub horiz_resid: nn::Conv<[i64; 2]>,
    /// `[classes, 2D]`
    pub class_cond_embedding: Option<Tensor>,
    /// `[2D, D, 1, 1]`, without bias
    pub condition: Option<Tensor>,
}

impl GatedLayer {
    pub(super) fn new(vs: nn::Path, shape: Shape) -> Self {
        let Shape { dim, classes, has_features, .. } = shape;
        let radius = shape.radius();
        let to_both_gates = || (&vs / "condition").var("weight", &[2 * dim, dim, 1, 1], xavier(dim, 2 * dim));
        Self {
            vert_stack: conv(&vs / "vert_stack", [dim, 2 * dim], [radius + 1, 2 * radius + 1], [0, radius]),
            vert_to_horiz: conv(&vs / "vert_to_horiz", [2 * dim, 2 * dim], [1, 1], [0, 0]),
            horiz_stack: conv(&vs / "horiz_stack", [dim, 2 * dim], [1, radius + 1], [0, 0]),
            horiz_resid: conv(&vs / "horiz_resid", [dim, dim], [1, 1], [0, 0]),
            class_cond_embedding: classes.map(|rows| embedding(&(&vs / "class_cond_embedding"), rows, 2 * dim)),
            condition: has_features.then(to_both_gates),
            shape,
        }
    }

    /// Both stacks `[B, D, H, W]` to the same; `bias` broadcasts to `[B, 2D, H, W]`.
    pub(super) fn forward(
        &self,
        vertical: &Tensor,
        horizontal: &Tensor,
        bias: Option<&Tensor>,
        dropout: f64,
        train: bool,
    ) -> (Tensor, Tensor) {
        if self.shape.first {
            self.mask();
        }
        let biased = |sum: Tensor| bias.map_or_else(|| sum.shallow_clone(), |bias| &sum + bias);
        let radius = self.shape.radius();
        let above = self.vert_stack.forward(&vertical.constant_pad_nd([0, 0, radius, 0]));
        let left = self.horiz_stack.forward(&horizontal.constant_pad_nd([radius, 0]));
        let mixed = gate(&biased(left + self.vert_to_horiz.forward(&above)));
        let out = self.horiz_resid.forward(&mixed.dropout(dropout, train));
        (gate(&biased(above)), if self.shape.first { out } else { out + horizontal })
    }

    /// The contribution of class and condition grids to both gates: `[B, 2D, 1, 1]`, or `[B, 2D, H, W]` where there are grids.
    pub(super) fn bias(&self, context: &Context) -> Result<Option<Tensor>, PriorError> {
        let class = self.class_bias(context)?.map(|rows| rows.unsqueeze(-1).unsqueeze(-1));
        let grids = self.condition.as_ref().zip(context.features.as_ref());
        let grids = grids.map(|(weight, features)| features.conv2d(weight, None::<Tensor>, 1, 0, 1, 1));
        Ok(match (class, grids) {
            (Some(class), Some(grids)) => Some(class + grids),
            (class, grids) => class.or(grids),
        })
    }

    /// The part of [`GatedLayer::bias`] that the class gives, `[B, 2D]`.
    pub(super) fn class_bias(&self, context: &Context) -> Result<Option<Tensor>, PriorError> {
        let (Some(table), Some(class)) = (&self.class_cond_embedding, &context.class) else { return Ok(None) };
        Ok(Some(Tensor::f_embedding(table, class, -1, false, false)?))
    }

    /// Sets the taps through which a position would see itself to zero, in the parameters, as upstream does: they get gradients like
    /// any other tap. Through `data`, so that graphs recorded earlier stay valid.
    fn mask(&self) {
        let radius = self.shape.radius();
        let _ = self.vert_stack.ws.data().narrow(2, radius, 1).zero_();
        let _ = self.horiz_stack.ws.data().narrow(3, radius, 1).zero_();
    }
}

impl Shape {
    pub(super) fn radius(&self) -> i64 {
        self.kernel_size / 2
    }

    /// Length of the kernels along their causal axis: the mask of the first layer takes the position itself away.
    pub(super) fn taps(&self) -> i64 {
        self.radius() + i64::from(!self.first)
    }
}

/// `tanh(a) · sigmoid(b)` of the two halves of the channels.
fn gate(channels: &Tensor) -> Tensor {
    let halves = channels.chunk(2, 1);
    halves[0].tanh() * halves[1].sigmoid()
}
