//! What encoder and decoder are built of: residual blocks, attention, and changes of resolution.

use tch::{Tensor, nn};

use super::norm::{Norm, NormForm, Pass};
use crate::layers::{conv, conv_with, doubled, halved};

/// What all blocks of an encoder or a decoder have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockForm {
    pub norm: NormForm,
    pub dropout: f64,
}

/// `x + conv2(dropout(swish(norm2(conv1(swish(norm1(x)))))))`, with a 1×1 convolution of `x` where the width changes.
#[derive(Debug)]
pub(super) struct ResnetBlock {
    norm1: Norm,
    conv1: nn::Conv2D,
    norm2: Norm,
    dropout: f64,
    conv2: nn::Conv2D,
    nin_shortcut: Option<nn::Conv2D>,
}

impl ResnetBlock {
    pub fn new(vs: &nn::Path, channels_in: i64, channels_out: i64, form: BlockForm) -> Self {
        let changes = channels_in != channels_out;
        Self {
            norm1: Norm::new(&(vs / "norm1"), channels_in, form.norm),
            conv1: conv(vs / "conv1", channels_in, channels_out, 3),
            norm2: Norm::new(&(vs / "norm2"), channels_out, form.norm),
            dropout: form.dropout,
            conv2: conv(vs / "conv2", channels_out, channels_out, 3),
            nin_shortcut: changes.then(|| conv(vs / "nin_shortcut", channels_in, channels_out, 1)),
        }
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let hidden = self.norm1.swish(x, pass).apply(&self.conv1);
        let hidden = self.norm2.swish(&hidden, pass).dropout(self.dropout, pass.train);
        let branch = hidden.apply(&self.conv2);
        match &self.nin_shortcut {
            Some(shortcut) => x.apply(shortcut) + branch,
            None => x + branch,
        }
    }
}

/// Attention of every position to all positions, with one head, added to the input.
#[derive(Debug)]
pub(super) struct Attention {
    norm: Norm,
    q: nn::Conv2D,
    k: nn::Conv2D,
    v: nn::Conv2D,
    proj_out: nn::Conv2D,
}

impl Attention {
    pub fn new(vs: &nn::Path, channels: i64, form: NormForm) -> Self {
        let project = |name| conv(vs / name, channels, channels, 1);
        Self {
            norm: Norm::new(&(vs / "norm"), channels, form),
            q: project("q"),
            k: project("k"),
            v: project("v"),
            proj_out: project("proj_out"),
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let by_position = self.norm.forward(x, pass).permute([0, 2, 3, 1]);
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

/// A residual block, attention or none, a residual block: the middle of the encoder and of the decoder.
#[derive(Debug)]
pub(super) struct Middle {
    block_1: ResnetBlock,
    attn_1: Option<Attention>,
    block_2: ResnetBlock,
}

impl Middle {
    pub fn new(vs: &nn::Path, channels: i64, has_attention: bool, form: BlockForm) -> Self {
        Self {
            block_1: ResnetBlock::new(&(vs / "block_1"), channels, channels, form),
            attn_1: has_attention.then(|| Attention::new(&(vs / "attn_1"), channels, form.norm)),
            block_2: ResnetBlock::new(&(vs / "block_2"), channels, channels, form),
        }
    }

    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let x = self.block_1.forward(x, pass);
        self.block_2.forward(&attend(self.attn_1.as_ref(), x, pass), pass)
    }
}

fn attend(attention: Option<&Attention>, x: Tensor, pass: Pass) -> Tensor {
    match attention {
        Some(attention) => attention.forward(&x, pass),
        None => x,
    }
}

/// The shape of a [`Level`].
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelShape {
    pub channels_in: i64,
    pub channels_out: i64,
    pub blocks: i64,
    pub has_attention: bool,
    pub form: BlockForm,
}

/// The residual blocks of one resolution, each followed by attention or none.
#[derive(Debug)]
pub(super) struct Level(Vec<(ResnetBlock, Option<Attention>)>);

impl Level {
    pub fn new(vs: &nn::Path, shape: LevelShape) -> Self {
        let LevelShape { channels_in, channels_out, blocks, has_attention, form } = shape;
        let block = |block: i64| {
            let from = if block == 0 { channels_in } else { channels_out };
            let residual = ResnetBlock::new(&(vs / "block" / block), from, channels_out, form);
            (residual, has_attention.then(|| Attention::new(&(vs / "attn" / block), channels_out, form.norm)))
        };
        Self((0..blocks).map(block).collect())
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`.
    pub fn forward(&self, x: Tensor, pass: Pass) -> Tensor {
        self.0.iter().fold(x, |x, (block, attention)| attend(attention.as_ref(), block.forward(&x, pass), pass))
    }
}

/// Halves height and width: a strided convolution, or means over 2×2.
#[derive(Debug)]
pub(super) struct Downsample(Option<nn::Conv2D>);

impl Downsample {
    pub fn new(vs: &nn::Path, channels: i64, with_conv: bool) -> Self {
        let config = nn::ConvConfig { stride: 2, ..Default::default() };
        Self(with_conv.then(|| conv_with(vs / "conv", channels, channels, 3, config)))
    }

    /// `[B, C, H, W]` to `[B, C, H / 2, W / 2]`; a convolution sees one row and one column of zeros, below and right.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match &self.0 {
            Some(conv) => x.constant_pad_nd([0, 1, 0, 1]).apply(conv),
            None => halved(x),
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
        let doubled = doubled(x);
        match &self.0 {
            Some(conv) => doubled.apply(conv),
            None => doubled,
        }
    }
}
