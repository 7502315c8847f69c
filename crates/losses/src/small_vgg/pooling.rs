//! How the stages of a small VGG, trained or frozen, get smaller.

use tch::Tensor;

/// The largest of every 2×2 values: `[B, C, H, W]` to `[B, C, H / 2, W / 2]`.
pub(super) fn halve(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// `[B, C, H, W]` to `[B, C]`.
pub(super) fn mean_over_space(x: &Tensor) -> Tensor {
    x.mean_dim([2i64, 3].as_slice(), false, None)
}
