//! Parameters as Gated PixelCNN initialises them.

use tch::{Tensor, nn};

/// A convolution with `[in, out]` channels, initialised as upstream's: Xavier-uniform, with zero bias.
pub(super) fn conv(vs: nn::Path, channels: [i64; 2], kernel: [i64; 2], padding: [i64; 2]) -> nn::Conv<[i64; 2]> {
    let area = kernel[0] * kernel[1];
    let config = nn::ConvConfigND {
        stride: [1, 1],
        padding,
        dilation: [1, 1],
        groups: 1,
        bias: true,
        ws_init: xavier(area * channels[0], area * channels[1]),
        bs_init: nn::Init::Const(0.0),
        padding_mode: nn::PaddingMode::Zeros,
    };
    nn::conv(vs, channels[0], channels[1], kernel, config)
}

/// Uniform with variance `2 / (fan_in + fan_out)` (Glorot & Bengio 2010).
pub(super) fn xavier(fan_in: i64, fan_out: i64) -> nn::Init {
    let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
    nn::Init::Uniform { lo: -bound, up: bound }
}

/// A table `weight` `[rows, dim]`, initialised with a standard normal distribution.
pub(super) fn embedding(vs: &nn::Path, rows: i64, dim: i64) -> Tensor {
    vs.var("weight", &[rows, dim], nn::Init::Randn { mean: 0.0, stdev: 1.0 })
}
