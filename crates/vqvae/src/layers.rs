//! Layers that the tokenizers of VQGAN's family share; weights start as PyTorch's do.

use tch::Tensor;
use tch::nn::{self, Init};
use vqkit_kernels::{self as kernels, Activation, group_norm};

/// Added to the variance in every group normalisation of these tokenizers.
const EPS: f64 = 1e-6;

/// Group normalisation, with a weight and a bias for each channel.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    /// In `groups` groups, which divide `channels`; variables `weight` and `bias`.
    pub fn new(vs: &nn::Path, groups: i64, channels: i64) -> Self {
        Self { weight: vs.ones("weight", &[channels]), bias: vs.zeros("bias", &[channels]), groups }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        group_norm(x, self.form(Activation::None), Some(&self.weight), Some(&self.bias))
    }

    /// [`forward`](Self::forward), then swish.
    pub fn swish(&self, x: &Tensor) -> Tensor {
        group_norm(x, self.form(Activation::Silu), Some(&self.weight), Some(&self.bias))
    }

    fn form(&self, activation: Activation) -> kernels::GroupNorm {
        kernels::GroupNorm { groups: self.groups, eps: EPS, activation }
    }
}

/// Normalisation of `[B, C, H, W]` in `groups` groups, without weights.
pub(crate) fn bare_group_norm(x: &Tensor, groups: i64) -> Tensor {
    group_norm(x, kernels::GroupNorm { groups, eps: EPS, activation: Activation::None }, None, None)
}

/// A convolution of `size` by `size` that keeps height and width; `size` is odd.
pub(crate) fn conv(vs: nn::Path, channels_in: i64, channels_out: i64, size: i64) -> nn::Conv2D {
    conv_with(vs, channels_in, channels_out, size, nn::ConvConfig { padding: size / 2, ..Default::default() })
}

/// As [`conv`], without bias.
pub(crate) fn conv_without_bias(vs: nn::Path, channels_in: i64, channels_out: i64, size: i64) -> nn::Conv2D {
    let config = nn::ConvConfig { padding: size / 2, bias: false, ..Default::default() };
    conv_with(vs, channels_in, channels_out, size, config)
}

/// A convolution whose weights and biases start uniform within `±1/√fan_in`.
pub(crate) fn conv_with(
    vs: nn::Path,
    channels_in: i64,
    channels_out: i64,
    size: i64,
    config: nn::ConvConfig,
) -> nn::Conv2D {
    let uniform = uniform(channels_in * size * size);
    nn::conv2d(vs, channels_in, channels_out, size, nn::ConvConfig { ws_init: uniform, bs_init: uniform, ..config })
}

/// A linear map with bias, both of which start uniform within `±1/√inputs`.
pub(crate) fn linear(vs: nn::Path, inputs: i64, outputs: i64) -> nn::Linear {
    let uniform = uniform(inputs);
    nn::linear(vs, inputs, outputs, nn::LinearConfig { ws_init: uniform, bs_init: Some(uniform), bias: true })
}

fn uniform(fan_in: i64) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// `[B, C, H, W]` to `[B, C, 2H, 2W]`: every value four times.
pub(crate) fn doubled(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None)
}

/// `[B, C, H, W]` to `[B, C, H / 2, W / 2]`: means over 2×2.
pub(crate) fn halved(x: &Tensor) -> Tensor {
    x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)
}

/// On the CPU with the channels of a position side by side: convolutions read and write this layout as it is, all others by a copy.
pub(crate) fn laid_out(x: &Tensor) -> Tensor {
    if x.device().is_cuda() { x.shallow_clone() } else { x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) }
}
