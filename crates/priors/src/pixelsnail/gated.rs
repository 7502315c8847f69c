//! A gated residual block.

use tch::{Tensor, nn};

use super::conv::Conv;

/// The convolutions of a block, each with the size of its kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    /// Looks around, the position itself included.
    Around(i64),
    /// Sees strictly earlier positions.
    Causal(i64),
}

impl Kernel {
    fn conv(self, vs: &nn::Path, channels: [i64; 2]) -> Conv {
        match self {
            Self::Around(size) => Conv::new(vs, channels, size, true),
            Self::Causal(size) => Conv::causal(vs, channels, size),
        }
    }
}

/// What acts on every block in one pass over the whole grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Features `[B, F, H, W]` of the condition grids.
    pub features: Option<&'a Tensor>,
    /// Probability with which hidden units are dropped.
    pub dropout: f64,
}

/// ELU and a convolution, twice, with a gate behind them, and a residual around.
#[derive(Debug)]
pub(super) struct GatedResBlock {
    /// To `res_channel`.
    pub conv1: Conv,
    /// `[res_channel, A, 1, 1]`, of a second input.
    pub aux_conv: Option<Conv>,
    /// To twice the channels of the input.
    pub conv2: Conv,
    /// `[2C, F, 1, 1]` without bias, of the condition grids.
    pub condition: Option<Conv>,
}

impl GatedResBlock {
    pub(super) fn new(vs: &nn::Path, channel: i64, res_channel: i64, kernel: Kernel) -> Self {
        Self {
            conv1: kernel.conv(&(vs / "conv1"), [channel, res_channel]),
            aux_conv: None,
            conv2: kernel.conv(&(vs / "conv2"), [res_channel, 2 * channel]),
            condition: None,
        }
    }

    /// Adds a second input of `channel` channels.
    pub(super) fn with_aux(self, vs: &nn::Path, channel: i64, res_channel: i64) -> Self {
        Self { aux_conv: Some(Conv::new(&(vs / "aux_conv"), [channel, res_channel], 1, true)), ..self }
    }

    /// Adds features of `channels[0]` channels as a condition of a block of `channels[1]`.
    pub(super) fn with_condition(self, vs: &nn::Path, channels: [i64; 2]) -> Self {
        let condition = Conv::new(&(vs / "condition"), [channels[0], 2 * channels[1]], 1, false);
        Self { condition: Some(condition), ..self }
    }

    /// `input` `[B, C, H, W]` to the same; `aux` is `[B, A, H, W]`.
    pub(super) fn forward(&self, input: &Tensor, aux: Option<&Tensor>, pass: Pass<'_>) -> Tensor {
        let mut hidden = self.conv1.forward(&input.elu());
        if let Some((conv, aux)) = self.aux_conv.as_ref().zip(aux) {
            hidden += conv.forward(&aux.elu());
        }
        let hidden = hidden.elu().dropout(pass.dropout, pass.dropout > 0.0);
        let mut channels = self.conv2.forward(&hidden);
        if let Some((conv, features)) = self.condition.as_ref().zip(pass.features) {
            channels += conv.forward(features);
        }
        channels.glu(1) + input
    }
}
