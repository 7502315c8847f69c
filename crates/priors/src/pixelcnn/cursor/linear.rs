//! Products with weights that were arranged at the start.

use tch::{Tensor, nn};

/// `input · weight + bias`, with `weight` `[in, out]`.
#[derive(Debug)]
pub(super) struct Linear {
    pub weight: Tensor,
    pub bias: Tensor,
}

impl Linear {
    /// From a 1 × 1 convolution.
    pub(super) fn new(conv: &nn::Conv<[i64; 2]>) -> Self {
        let weight = conv.ws.squeeze_dim(-1).squeeze_dim(-1).transpose(0, 1).contiguous();
        Self { bias: bias(conv), weight }
    }

    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        self.bias.addmm(input, &self.weight)
    }
}

/// The bias of a convolution, zero where it has none.
pub(super) fn bias(conv: &nn::Conv<[i64; 2]>) -> Tensor {
    conv.bs
        .as_ref()
        .map_or_else(|| Tensor::zeros([conv.ws.size()[0]], (conv.ws.kind(), conv.ws.device())), Tensor::copy)
}
