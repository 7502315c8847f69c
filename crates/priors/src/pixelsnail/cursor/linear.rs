//! Products with weights that were normalised and arranged at the start.

use tch::Tensor;

use crate::pixelsnail::conv::{Conv, WeightNorm};
use crate::pixelsnail::gated::GatedResBlock;

/// `input · weight + bias`, with `weight` `[in, out]`.
#[derive(Debug)]
pub(super) struct Linear {
    pub weight: Tensor,
    pub bias: Tensor,
}

impl Linear {
    /// From a weight `[out, in]`.
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>) -> Self {
        Self { weight: weight.transpose(0, 1).contiguous(), bias: bias_or_zero(weight, bias) }
    }

    /// From a 1 × 1 convolution.
    pub(super) fn point(conv: &Conv) -> Self {
        Self::new(&conv.weight().flatten(1, 3), conv.bias())
    }

    /// Two layers of one input, their outputs side by side.
    pub(super) fn pair(first: &WeightNorm, second: &WeightNorm) -> Self {
        let [first, second] = [first, second].map(|layer| Self::new(&layer.weight(), layer.bias.as_ref()));
        Self {
            weight: Tensor::cat(&[first.weight, second.weight], 1),
            bias: Tensor::cat(&[first.bias, second.bias], 0),
        }
    }

    /// `[R, in]` to `[R, out]`.
    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        self.bias.addmm(input, &self.weight)
    }
}

/// A residual block of 1 × 1 convolutions.
#[derive(Debug)]
pub(super) struct PointBlock {
    conv1: Linear,
    aux_conv: Option<Linear>,
    conv2: Linear,
}

impl PointBlock {
    pub(super) fn new(block: &GatedResBlock) -> Self {
        Self {
            conv1: Linear::point(&block.conv1),
            aux_conv: block.aux_conv.as_ref().map(Linear::point),
            conv2: Linear::point(&block.conv2),
        }
    }

    /// `input` `[B, C]` to the same; `aux` is `[B, A]`.
    pub(super) fn forward(&self, input: &Tensor, aux: Option<&Tensor>) -> Tensor {
        let mut hidden = self.conv1.forward(&input.elu());
        if let Some((aux_conv, aux)) = self.aux_conv.as_ref().zip(aux) {
            hidden += aux_conv.forward(&aux.elu());
        }
        self.conv2.forward(&hidden.elu_()).glu(1) + input
    }
}

/// The bias `[out]` of a layer with this weight `[out, …]`.
pub(super) fn bias_or_zero(weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    bias.map_or_else(|| Tensor::zeros([weight.size()[0]], (weight.kind(), weight.device())), Tensor::detach)
}
