//! Residual blocks whose convolutions have no bias, of which the tokenizers of MaskGIT and Open-MAGVIT2 are built.

use tch::{Tensor, nn};

use crate::layers::{GroupNorm, conv_without_bias};

/// Groups of every normalisation.
pub(crate) const GROUPS: i64 = 32;

/// What the 1×1 convolution of a block that changes the width is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// To the input of the block, as in every residual network.
    Input,
    /// To the output of the block's last convolution, as in MaskGIT's tokenizer: such a block passes nothing of its input
    /// on unchanged.
    Output,
}

/// What all blocks of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockForm {
    pub shortcut: Shortcut,
    /// Dropout rate before the second convolution.
    pub dropout: f64,
}

/// `h + shortcut`, where `h = conv2(dropout(swish(norm2(conv1(swish(norm1(x)))))))`.
#[derive(Debug)]
struct ResidualBlock {
    norm1: GroupNorm,
    conv1: nn::Conv2D,
    norm2: GroupNorm,
    conv2: nn::Conv2D,
    nin_shortcut: Option<nn::Conv2D>,
    form: BlockForm,
}

impl ResidualBlock {
    fn new(vs: &nn::Path, channels_in: i64, channels_out: i64, form: BlockForm) -> Self {
        let shortcut_in = if form.shortcut == Shortcut::Input { channels_in } else { channels_out };
        let nin_shortcut = || conv_without_bias(vs / "nin_shortcut", shortcut_in, channels_out, 1);
        Self {
            norm1: GroupNorm::new(&(vs / "norm1"), GROUPS, channels_in),
            conv1: conv_without_bias(vs / "conv1", channels_in, channels_out, 3),
            norm2: GroupNorm::new(&(vs / "norm2"), GROUPS, channels_out),
            conv2: conv_without_bias(vs / "conv2", channels_out, channels_out, 3),
            nin_shortcut: (channels_in != channels_out).then(nin_shortcut),
            form,
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let hidden = self.norm1.swish(x).apply(&self.conv1);
        let hidden = self.norm2.swish(&hidden).dropout(self.form.dropout, train).apply(&self.conv2);
        match (&self.nin_shortcut, self.form.shortcut) {
            (None, _) => x + hidden,
            (Some(conv), Shortcut::Input) => x.apply(conv) + hidden,
            (Some(conv), Shortcut::Output) => hidden.apply(conv) + hidden,
        }
    }
}

/// Residual blocks one after the other; the first may change the width.
#[derive(Debug)]
pub(crate) struct Blocks(Vec<ResidualBlock>);

impl Blocks {
    /// `count` blocks, block `i` with its variables at `vs / i`.
    pub fn new(vs: &nn::Path, count: i64, channels_in: i64, channels_out: i64, form: BlockForm) -> Self {
        let block = |index: i64| {
            let channels_in = if index == 0 { channels_in } else { channels_out };
            ResidualBlock::new(&(vs / index), channels_in, channels_out, form)
        };
        Self((0..count).map(block).collect())
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`.
    pub fn forward(&self, x: Tensor, train: bool) -> Tensor {
        self.0.iter().fold(x, |x, block| block.forward(&x, train))
    }
}

/// Parameters of the two 3×3 convolutions of every block of an encoder and its mirror image, each with `blocks` blocks on
/// every level and in the middle; except the first of a level, whose input may be narrow.
pub(crate) fn least_parameters(widths: &[i64], blocks: i64) -> i64 {
    let of_levels: i64 = widths.iter().map(|width| 9 * (2 * blocks - 1) * width * width).sum();
    let of_middle: i64 = widths.last().map_or(0, |width| 9 * 2 * blocks * width * width);
    2 * (of_levels + of_middle)
}
