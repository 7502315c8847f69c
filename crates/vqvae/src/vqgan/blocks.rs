//! What encoder and decoder are built of: normalisations, residual blocks, attention, and changes of resolution.

use tch::Tensor;
use tch::nn::{self, Init};

/// Groups of every normalisation.
pub(super) const GROUPS: i64 = 32;

/// Group normalisation in [`GROUPS`] groups, which divide `channels`.
pub(super) fn norm(vs: nn::Path, channels: i64) -> nn::GroupNorm {
    nn::group_norm(vs, GROUPS, channels, nn::GroupNormConfig { eps: 1e-6, ..Default::default() })
}

/// A convolution of `size` by `size` that keeps height and width; `size` is odd.
pub(super) fn conv(vs: nn::Path, channels_in: i64, channels_out: i64, size: i64) -> nn::Conv2D {
    start_conv(vs, channels_in, channels_out, size, nn::ConvConfig { padding: size / 2, ..Default::default() })
}

/// Weights and biases start uniform within `±1/√fan_in`, as PyTorch's convolutions do.
fn start_conv(vs: nn::Path, channels_in: i64, channels_out: i64, size: i64, config: nn::ConvConfig) -> nn::Conv2D {
    let bound = 1.0 / ((channels_in * size * size) as f64).sqrt();
    let uniform = Init::Uniform { lo: -bound, up: bound };
    nn::conv2d(vs, channels_in, channels_out, size, nn::ConvConfig { ws_init: uniform, bs_init: uniform, ..config })
}

/// `x + conv2(dropout(swish(norm2(conv1(swish(norm1(x)))))))`, with a 1×1 convolution of `x` where the width changes.
#[derive(Debug)]
pub(super) struct ResnetBlock {
    norm1: nn::GroupNorm,
    conv1: nn::Conv2D,
    norm2: nn::GroupNorm,
    dropout: f64,
    conv2: nn::Conv2D,
    nin_shortcut: Option<nn::Conv2D>,
}

impl ResnetBlock {
    pub fn new(vs: &nn::Path, channels_in: i64, channels_out: i64, dropout: f64) -> Self {
        let changes = channels_in != channels_out;
        Self {
            norm1: norm(vs / "norm1", channels_in),
            conv1: conv(vs / "conv1", channels_in, channels_out, 3),
            norm2: norm(vs / "norm2", channels_out),
            dropout,
            conv2: conv(vs / "conv2", channels_out, channels_out, 3),
            nin_shortcut: changes.then(|| conv(vs / "nin_shortcut", channels_in, channels_out, 1)),
        }
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let hidden = x.apply(&self.norm1).silu().apply(&self.conv1);
        let branch = hidden.apply(&self.norm2).silu().dropout(self.dropout, train).apply(&self.conv2);
        match &self.nin_shortcut {
            Some(shortcut) => x.apply(shortcut) + branch,
            None => x + branch,
        }
    }
}

/// Attention of every position to all positions, with one head, added to the input.
#[derive(Debug)]
pub(super) struct Attention {
    norm: nn::GroupNorm,
    q: nn::Conv2D,
    k: nn::Conv2D,
    v: nn::Conv2D,
    proj_out: nn::Conv2D,
}

impl Attention {
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        let project = |name| conv(vs / name, channels, channels, 1);
        Self {
            norm: norm(vs / "norm", channels),
            q: project("q"),
            k: project("k"),
            v: project("v"),
            proj_out: project("proj_out"),
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let by_position = x.apply(&self.norm).permute([0, 2, 3, 1]);
        let shape = by_position.size();
        // The fused kernel wants a position's channels side by side; where they are so already, nothing is copied.
        let rows = by_position.reshape([shape[0], 1, -1, shape[3]]).contiguous();
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|projection| project_rows(&rows, projection));
        let attended = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, 0.0, false, None, false);
        let projected = project_rows(&attended, &self.proj_out);
        x + projected.view(shape.as_slice()).permute([0, 3, 1, 2])
    }
}

/// A 1×1 convolution of rows `[.., C]`.
fn project_rows(rows: &Tensor, conv: &nn::Conv2D) -> Tensor {
    rows.linear(&conv.ws.flatten(1, -1), conv.bs.as_ref())
}

/// A residual block, attention, a residual block: the middle of the encoder and of the decoder.
#[derive(Debug)]
pub(super) struct Middle {
    block_1: ResnetBlock,
    attn_1: Attention,
    block_2: ResnetBlock,
}

impl Middle {
    pub fn new(vs: &nn::Path, channels: i64, dropout: f64) -> Self {
        Self {
            block_1: ResnetBlock::new(&(vs / "block_1"), channels, channels, dropout),
            attn_1: Attention::new(&(vs / "attn_1"), channels),
            block_2: ResnetBlock::new(&(vs / "block_2"), channels, channels, dropout),
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.block_2.forward(&self.attn_1.forward(&self.block_1.forward(x, train)), train)
    }
}

/// The shape of a [`Level`].
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelShape {
    pub channels_in: i64,
    pub channels_out: i64,
    pub blocks: i64,
    pub has_attention: bool,
    pub dropout: f64,
}

/// The residual blocks of one resolution, each followed by attention or none.
#[derive(Debug)]
pub(super) struct Level(Vec<(ResnetBlock, Option<Attention>)>);

impl Level {
    pub fn new(vs: &nn::Path, shape: LevelShape) -> Self {
        let LevelShape { channels_in, channels_out, blocks, has_attention, dropout } = shape;
        let block = |block: i64| {
            let from = if block == 0 { channels_in } else { channels_out };
            let residual = ResnetBlock::new(&(vs / "block" / block), from, channels_out, dropout);
            (residual, has_attention.then(|| Attention::new(&(vs / "attn" / block), channels_out)))
        };
        Self((0..blocks).map(block).collect())
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`.
    pub fn forward(&self, x: Tensor, train: bool) -> Tensor {
        self.0.iter().fold(x, |x, (block, attention)| {
            let x = block.forward(&x, train);
            match attention {
                Some(attention) => attention.forward(&x),
                None => x,
            }
        })
    }
}

/// Halves height and width: a strided convolution, or means over 2×2.
#[derive(Debug)]
pub(super) struct Downsample(Option<nn::Conv2D>);

impl Downsample {
    pub fn new(vs: &nn::Path, channels: i64, with_conv: bool) -> Self {
        let config = nn::ConvConfig { stride: 2, ..Default::default() };
        Self(with_conv.then(|| start_conv(vs / "conv", channels, channels, 3, config)))
    }

    /// `[B, C, H, W]` to `[B, C, H / 2, W / 2]`; a convolution sees one row and one column of zeros, below and right.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match &self.0 {
            Some(conv) => x.constant_pad_nd([0, 1, 0, 1]).apply(conv),
            None => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
        }
    }
}

/// Doubles height and width: repeats every value, and perhaps convolves.
#[derive(Debug)]
pub(super) struct Upsample(Option<nn::Conv2D>);

impl Upsample {
    pub fn new(vs: &nn::Path, channels: i64, with_conv: bool) -> Self {
        Self(with_conv.then(|| conv(vs / "conv", channels, channels, 3)))
    }

    /// `[B, C, H, W]` to `[B, C, 2H, 2W]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let doubled = x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None);
        match &self.0 {
            Some(conv) => doubled.apply(conv),
            None => doubled,
        }
    }
}
