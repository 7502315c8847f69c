//! Weight-normalised convolutions (Salimans & Kingma 2016), causal ones among them.

use tch::Tensor;
use tch::nn;

/// A layer whose weight is `weight_g · weight_v / ‖weight_v‖`, the norm taken over all axes but the first.
#[derive(Debug)]
pub(super) struct WeightNorm {
    /// `[out, in, *kernel]`
    weight_v: Tensor,
    /// `[out, 1, …]`
    weight_g: Tensor,
    pub bias: Option<Tensor>,
}

impl WeightNorm {
    /// Of `shape` `[out, in, *kernel]`, initialised as PyTorch does.
    pub(super) fn new(vs: &nn::Path, shape: &[i64], has_bias: bool) -> Self {
        let bound = (shape[1..].iter().product::<i64>() as f64).sqrt().recip();
        let uniform = nn::Init::Uniform { lo: -bound, up: bound };
        let weight_v = vs.var("weight_v", shape, uniform);
        let norm = tch::no_grad(|| Tensor::norm_except_dim(&weight_v, 2, 0));
        Self {
            weight_g: vs.var_copy("weight_g", &norm),
            bias: has_bias.then(|| vs.var("bias", &shape[..1], uniform)),
            weight_v,
        }
    }

    /// `[out, in, *kernel]`
    pub(super) fn weight(&self) -> Tensor {
        Tensor::internal_weight_norm(&self.weight_v, &self.weight_g, 0)
    }

    /// `[…, in]` to `[…, out]`, for a weight without a kernel.
    pub(super) fn linear(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight(), self.bias.as_ref())
    }
}

/// A convolution that keeps height and width.
#[derive(Debug)]
pub(super) struct Conv {
    layer: WeightNorm,
    /// Zeros on both sides of rows and columns.
    around: [i64; 2],
    /// Zeros above and to the left.
    before: [i64; 2],
    /// The first tap of the kernel's last row that would see the position itself or a later one.
    masked_from: Option<i64>,
}

impl Conv {
    /// Looks around: `[in, out]` channels, an odd kernel.
    pub(super) fn new(vs: &nn::Path, channels: [i64; 2], kernel_size: i64, has_bias: bool) -> Self {
        let layer = convolution(vs, channels, [kernel_size; 2], has_bias);
        Self { layer, around: [kernel_size / 2; 2], before: [0, 0], masked_from: None }
    }

    /// Sees strictly earlier positions: rows above, and the row itself to the left.
    pub(super) fn causal(vs: &nn::Path, channels: [i64; 2], kernel_size: i64) -> Self {
        let layer = convolution(&(vs / "conv"), channels, [kernel_size; 2], true);
        let radius = kernel_size / 2;
        Self { layer, around: [0, radius], before: [kernel_size - 1, 0], masked_from: Some(radius) }
    }

    /// Sees its own row and the rows above, on both sides.
    pub(super) fn down(vs: &nn::Path, channels: [i64; 2], kernel: [i64; 2]) -> Self {
        let layer = convolution(&(vs / "conv"), channels, kernel, true);
        Self { layer, around: [0, kernel[1] / 2], before: [kernel[0] - 1, 0], masked_from: None }
    }

    /// Sees itself and what is to the left, in its own row and the rows above.
    pub(super) fn down_right(vs: &nn::Path, channels: [i64; 2], kernel: [i64; 2]) -> Self {
        let layer = convolution(&(vs / "conv"), channels, kernel, true);
        Self { layer, around: [0, 0], before: [kernel[0] - 1, kernel[1] - 1], masked_from: None }
    }

    /// `[B, in, H, W]` to `[B, out, H, W]`.
    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        let [above, left] = self.before;
        let padded = match self.before {
            [0, 0] => input.shallow_clone(),
            _ => input.constant_pad_nd([left, 0, above, 0]),
        };
        padded.conv2d(&self.weight(), self.bias(), 1, self.around, 1, 1)
    }

    /// `[out, in, *kernel]`
    ///
    /// Masked taps are first set to zero in the parameter, as upstream does, so that they count for nothing in the norm
    /// and their gradient is that of any other tap. Through `data`, so that graphs recorded earlier stay valid.
    pub(super) fn weight(&self) -> Tensor {
        if let Some(first) = self.masked_from {
            let columns = self.layer.weight_v.size()[3];
            let _ = self.layer.weight_v.data().select(2, -1).narrow(2, first, columns - first).zero_();
        }
        self.layer.weight()
    }

    pub(super) fn bias(&self) -> Option<&Tensor> {
        self.layer.bias.as_ref()
    }
}

fn convolution(vs: &nn::Path, channels: [i64; 2], kernel: [i64; 2], has_bias: bool) -> WeightNorm {
    WeightNorm::new(&(vs / "conv"), &[channels[1], channels[0], kernel[0], kernel[1]], has_bias)
}
