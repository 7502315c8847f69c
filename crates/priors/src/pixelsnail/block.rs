//! A block of PixelSNAIL: causal residual blocks, then attention or a 1 × 1 convolution, both with the coordinates of the position.

use tch::{Tensor, nn};

use super::attention::AttentionBlock;
use super::config::PixelSnailConfig;
use super::conv::Conv;
use super::gated::{GatedResBlock, Kernel, Pass};

/// Residual blocks, and the end of the block.
#[derive(Debug)]
pub(super) struct PixelBlock {
    pub resblocks: Vec<GatedResBlock>,
    pub tail: Tail,
}

/// The end of a block; both kinds see the coordinates of a position.
#[derive(Debug)]
pub(super) enum Tail {
    /// Attention to all earlier positions.
    Attention(Box<AttentionBlock>),
    /// `out`, `[C, C + 2, 1, 1]`.
    Mix(Conv),
}

impl PixelBlock {
    pub(super) fn new(vs: &nn::Path, config: &PixelSnailConfig, has_features: bool) -> Self {
        let PixelSnailConfig { channel, res_channel, kernel_size, cond_res_channel, .. } = *config;
        let resblock = |index: i64| {
            let vs = vs / "resblocks" / index;
            let block = GatedResBlock::new(&vs, channel, res_channel, Kernel::Causal(kernel_size));
            if has_features { block.with_condition(&vs, [cond_res_channel, channel]) } else { block }
        };
        let resblocks = (0..config.n_res_block).map(resblock).collect();
        let tail = if config.attention {
            Tail::Attention(Box::new(AttentionBlock::new(vs, channel, config.n_head)))
        } else {
            Tail::Mix(Conv::new(&(vs / "out"), [channel + 2, channel], 1, true))
        };
        Self { resblocks, tail }
    }

    /// `[B, C, H, W]` to the same; `background` `[B, 2, H, W]` holds the coordinates of a position.
    pub(super) fn forward(&self, input: &Tensor, background: &Tensor, pass: Pass<'_>) -> Tensor {
        let mut out = input.shallow_clone();
        for block in &self.resblocks {
            out = block.forward(&out, None, pass);
        }
        match &self.tail {
            Tail::Attention(attention) => attention.forward(input, &out, background, pass),
            Tail::Mix(conv) => conv.forward(&Tensor::cat(&[&out, background], 1)),
        }
    }
}
