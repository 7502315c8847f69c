//! A block of PixelSNAIL, a position at a time.

use tch::Tensor;

use super::attention::Attention;
use super::causal::{CausalConv, Workspace};
use super::linear::Linear;
use super::position::Position;
use crate::pixelsnail::block::{PixelBlock, Tail};
use crate::pixelsnail::gated::GatedResBlock;

/// Residual blocks, and the end of the block.
#[derive(Debug)]
pub(super) struct BlockStep {
    residuals: Vec<ResidualStep>,
    tail: TailStep,
}

#[derive(Debug)]
enum TailStep {
    Attention(Box<Attention>),
    Mix(Linear),
}

/// A causal residual block.
#[derive(Debug)]
struct ResidualStep {
    conv1: CausalConv,
    conv2: CausalConv,
    /// Of the features of the condition grids, `[F, 2C]`.
    condition: Option<Tensor>,
    /// What the gate takes, `[B, 2C]`.
    channels: Tensor,
    /// `[B, C]`
    out: Tensor,
}

impl BlockStep {
    pub(super) fn new(block: &PixelBlock, positions: i64, workspace: &Workspace) -> Self {
        let tail = match &block.tail {
            Tail::Attention(attention) => {
                TailStep::Attention(Box::new(Attention::new(attention, positions, workspace)))
            }
            Tail::Mix(conv) => TailStep::Mix(Linear::point(conv)),
        };
        Self { residuals: block.resblocks.iter().map(|block| ResidualStep::new(block, workspace)).collect(), tail }
    }

    /// Begins a row; `features` `[B · W, F]` are the row's, of the condition grids.
    pub(super) fn begin_row(&self, features: Option<&Tensor>) {
        for block in &self.residuals {
            block.begin_row(features);
        }
    }

    /// `[B, C]` to the same; `hidden` as for [`Attention::run`].
    pub(super) fn run(&self, at: &Position, input: &Tensor, hidden: &Tensor) -> Tensor {
        let column = at.column as usize;
        let mut features = input.shallow_clone();
        for block in &self.residuals {
            features = block.run(column, &features);
        }
        match &self.tail {
            TailStep::Attention(attention) => attention.run(at, input, &features, hidden),
            TailStep::Mix(linear) => linear.forward(&Tensor::cat(&[&features, &at.background], 1)),
        }
    }
}

impl ResidualStep {
    fn new(block: &GatedResBlock, workspace: &Workspace) -> Self {
        let condition = block.condition.as_ref().map(|conv| Linear::point(conv).weight);
        let channels = block.conv2.weight().size()[0];
        Self {
            conv1: CausalConv::new(&block.conv1, workspace),
            conv2: CausalConv::new(&block.conv2, workspace),
            condition,
            channels: Tensor::empty([workspace.batch, channels], workspace.options),
            out: Tensor::empty([workspace.batch, channels / 2], workspace.options),
        }
    }

    fn begin_row(&self, features: Option<&Tensor>) {
        self.conv1.begin_row(None);
        let added = features.zip(self.condition.as_ref()).map(|(features, weight)| features.mm(weight));
        self.conv2.begin_row(added.as_ref());
    }

    /// `[B, C]` to the same, in memory that the next call writes again.
    fn run(&self, column: usize, input: &Tensor) -> Tensor {
        let hidden = self.conv2.slot(column);
        let _ = input.elu_out(self.conv1.slot(column));
        self.conv1.run(column, hidden);
        let _ = hidden.shallow_clone().elu_();
        self.conv2.run(column, &self.channels);
        let _ = self.channels.glu_out(&self.out, 1);
        self.out.shallow_clone().g_add_(input)
    }
}
