//! From tokens to the first features.

use tch::{Kind, Tensor, nn};

use super::conv::Conv;
use crate::PriorError;

/// Two convolutions of one-hot tokens, each shifted by one position so that no position sees itself: `horizontal`, shifted
/// down, sees the rows above on both sides, and `vertical`, shifted to the right, the positions to the left.
#[derive(Debug)]
pub(super) struct Input {
    vocabulary: i64,
    /// `[C, K, k / 2, k]`, where `k` is the kernel's size
    pub horizontal: Conv,
    /// `[C, K, (k + 1) / 2, k / 2]`
    pub vertical: Conv,
}

impl Input {
    pub(super) fn new(vs: &nn::Path, vocabulary: i64, channel: i64, kernel_size: i64) -> Self {
        let (channels, half) = ([vocabulary, channel], kernel_size / 2);
        Self {
            vocabulary,
            horizontal: Conv::down(&(vs / "horizontal"), channels, [half, kernel_size]),
            vertical: Conv::down_right(&(vs / "vertical"), channels, [(kernel_size + 1) / 2, half]),
        }
    }

    /// Tokens `[B, H, W]` to features `[B, C, H, W]`.
    pub(super) fn forward(&self, tokens: &Tensor) -> Result<Tensor, PriorError> {
        let [_, height, width] = tokens.size3()?.into();
        let one_hot = one_hot(tokens, self.vocabulary, self.kind())?;
        let above = self.horizontal.forward(&one_hot).constant_pad_nd([0, 0, 1, 0]).narrow(2, 0, height);
        let left = self.vertical.forward(&one_hot).constant_pad_nd([1, 0]).narrow(3, 0, width);
        Ok(above + left)
    }

    fn kind(&self) -> Kind {
        self.horizontal.bias().map_or(Kind::Float, Tensor::kind)
    }
}

/// `[B, H, W]` to `[B, K, H, W]`.
///
/// # Errors
/// When a token is not below `vocabulary`, where libtorch looks.
pub(super) fn one_hot(tokens: &Tensor, vocabulary: i64, kind: Kind) -> Result<Tensor, PriorError> {
    let [batch, height, width] = tokens.size3()?.into();
    // `scatter`, since `one_hot` waits for a device to look at the values.
    let zeros = Tensor::zeros([batch, vocabulary, height, width], (kind, tokens.device()));
    let ones = Tensor::ones([1], (kind, tokens.device())).expand([batch, 1, height, width], false);
    // No `f_scatter_value`: tch panics when such a call fails.
    Ok(zeros.f_scatter(1, &tokens.unsqueeze(1), &ones)?)
}
