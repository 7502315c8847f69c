//! The parameters of PixelSNAIL, and its pass over a whole grid.

use tch::nn::{self, Path};
use tch::{Kind, Tensor};

use super::block::PixelBlock;
use super::cond_resnet::CondResNet;
use super::config::PixelSnailConfig;
use super::context::Context;
use super::conv::Conv;
use super::gated::{GatedResBlock, Kernel, Pass};
use super::input::Input;
use crate::classes::Classes;
use crate::{Condition, PriorError, PriorSpec};

/// All parameters.
#[derive(Debug)]
pub(super) struct Network {
    pub config: PixelSnailConfig,
    pub input: Input,
    /// The coordinates of a position, `[1, 2, H, W]`: row, then column, from -1/2 up; no parameter.
    pub background: Tensor,
    /// `[classes, C]`
    class_embedding: Option<Tensor>,
    cond_resnets: Vec<CondResNet>,
    pub blocks: Vec<PixelBlock>,
    pub head: Head,
}

/// From features to logits: residual blocks of 1 × 1 convolutions, ELU, and one more.
#[derive(Debug)]
pub(super) struct Head {
    pub blocks: Vec<GatedResBlock>,
    pub conv: Conv,
}

impl Network {
    pub(super) fn new(config: &PixelSnailConfig, vs: &Path, spec: &PriorSpec) -> Self {
        let PixelSnailConfig { channel, kernel_size, .. } = *config;
        let classes = Classes::of(spec, config.class_dropout).map(Classes::rows);
        let grids = spec.condition_grids.iter().enumerate();
        let cond_resnets = grids.map(|(index, grid)| {
            let vs = if index == 0 { vs / "cond_resnet" } else { vs / "cond_resnets" / index };
            CondResNet::new(&vs, grid, config)
        });
        let block = |index| PixelBlock::new(&(vs / "blocks" / index), config, !spec.condition_grids.is_empty());
        Self {
            input: Input::new(vs, spec.target.sizes[0], channel, kernel_size),
            background: background(vs, spec.target.grid),
            class_embedding: classes.map(|rows| class_embedding(vs, rows, channel)),
            cond_resnets: cond_resnets.collect(),
            blocks: (0..config.n_block).map(block).collect(),
            head: Head::new(&(vs / "out"), config, spec.target.sizes[0]),
            config: config.clone(),
        }
    }

    /// A condition that was checked, as features.
    pub(super) fn context(
        &self,
        condition: &Condition,
        classes: Option<Classes>,
        batch: i64,
        train: bool,
    ) -> Result<Context, PriorError> {
        let [_, _, height, width] = self.background.size4()?.into();
        let device = self.background.device();
        let labels = classes.map(|classes| classes.labels(condition, batch, device, train));
        let class = self.class_embedding.as_ref().zip(labels);
        let class = class.map(|(table, class)| Tensor::f_embedding(table, &class, -1, false, false)).transpose()?;
        let dropout = self.dropout(train);
        let mut features: Option<Tensor> = None;
        for (network, grid) in self.cond_resnets.iter().zip(&condition.grids) {
            let more = network.forward(&grid.to_device(device), [height, width], dropout)?;
            features = Some(features.map_or_else(|| more.shallow_clone(), |sum| sum + &more));
        }
        Ok(Context { class: class.map(|rows| rows.unsqueeze(-1).unsqueeze(-1)), features })
    }

    /// Logits `[B, K, H, W]` of tokens `[B, H, W]`.
    pub(super) fn forward(&self, tokens: &Tensor, context: &Context, train: bool) -> Result<Tensor, PriorError> {
        let pass = Pass { features: context.features.as_ref(), dropout: self.dropout(train) };
        let mut features = self.input.forward(tokens)?;
        if let Some(class) = &context.class {
            features += class;
        }
        let [batch, _, height, width] = features.size4()?.into();
        let background = self.background.expand([batch, 2, height, width], false);
        for block in &self.blocks {
            features = block.forward(&features, &background, pass);
        }
        Ok(self.head.forward(features, pass.dropout))
    }

    fn dropout(&self, train: bool) -> f64 {
        if train { self.config.dropout } else { 0.0 }
    }
}

impl Head {
    fn new(vs: &Path, config: &PixelSnailConfig, vocabulary: i64) -> Self {
        let PixelSnailConfig { channel, res_channel, n_out_res_block, .. } = *config;
        let block = |index| GatedResBlock::new(&(vs / index), channel, res_channel, Kernel::Around(1));
        // Upstream counts the ELU between the blocks and the last convolution.
        let conv = Conv::new(&(vs / (n_out_res_block + 1)), [channel, vocabulary], 1, true);
        Self { blocks: (0..n_out_res_block).map(block).collect(), conv }
    }

    fn forward(&self, mut features: Tensor, dropout: f64) -> Tensor {
        for block in &self.blocks {
            features = block.forward(&features, None, Pass { features: None, dropout });
        }
        self.conv.forward(&features.elu())
    }
}

/// `(i - n / 2) / n` for each of the `n` rows, then columns: `[1, 2, H, W]`.
fn background(vs: &Path, grid: [i64; 2]) -> Tensor {
    let line = |length: i64| {
        let steps = Tensor::arange(length, (Kind::Float, vs.device()));
        (steps - length as f64 / 2.0) / length as f64
    };
    let rows = line(grid[0]).unsqueeze(1).expand(grid, false);
    let columns = line(grid[1]).unsqueeze(0).expand(grid, false);
    let mut buffer = vs.zeros_no_train("background", &[1, 2, grid[0], grid[1]]);
    tch::no_grad(|| buffer.copy_(&Tensor::stack(&[rows, columns], 0).unsqueeze(0)));
    buffer
}

/// A table `class_embedding.weight` `[rows, C]`, initialised small compared with the features of the tokens.
fn class_embedding(vs: &Path, rows: i64, channel: i64) -> Tensor {
    (vs / "class_embedding").var("weight", &[rows, channel], nn::Init::Randn { mean: 0.0, stdev: 0.02 })
}
