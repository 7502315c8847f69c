//! PixelSNAIL (Chen et al. 2018, "PixelSNAIL: An Improved Autoregressive Generative Model"), as the prior of VQ-VAE-2.
//!
//! Causal convolutions see what is near, attention all that is earlier. Parameters carry the names of
//! rosinality/vq-vae-2-pytorch, whose order of operations this is: weight normalisation everywhere, and keys that see a
//! block's input, what its residual blocks made of it, and where a position lies.
//! Departures: grids need not be squares, the heads of attention are a parameter, `dropout` acts in the head and on
//! condition grids too (upstream fixes 0.1 there), and there are
//!
//! - a class, as `class_embedding`, added to the first features;
//! - any number of condition grids of any size and codebooks: the first is upstream's `cond_resnet`, the others are
//!   `cond_resnets.1` and so on, and what all of them give is summed.

mod attention;
mod blocks;
mod cond_resnet;
mod config;
mod context;
mod conv;
mod cost;
mod cursor;
mod input;

use tch::nn::{self, Path};
use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use self::blocks::{GatedResBlock, Kernel, PixelBlock};
use self::cond_resnet::CondResNet;
use self::context::Context;
use self::conv::Conv;
use self::cursor::PixelSnailCursor;
use self::input::Input;
use crate::classes::Classes;
use crate::prior::cross_entropy_of_maps;
use crate::{Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec};

pub use config::PixelSnailConfig;

/// PixelSNAIL over one grid of tokens with one codebook; made by [`PixelSnailConfig::build`].
#[derive(Debug)]
pub struct PixelSnail {
    config: PixelSnailConfig,
    spec: PriorSpec,
    input: Input,
    /// Where a position lies, `[1, 2, H, W]`: rows, then columns, from -1/2 up; no parameter.
    background: Tensor,
    /// `[classes, C]`
    class_embedding: Option<Tensor>,
    cond_resnets: Vec<CondResNet>,
    blocks: Vec<PixelBlock>,
    head: Head,
}

/// From features to logits: residual blocks of 1 × 1 convolutions, ELU, and one more.
#[derive(Debug)]
struct Head {
    blocks: Vec<GatedResBlock>,
    conv: Conv,
}

impl PixelSnail {
    fn new(config: &PixelSnailConfig, vs: &Path, spec: &PriorSpec) -> Self {
        let PixelSnailConfig { channel, kernel_size, .. } = *config;
        let classes = Classes::of(spec, config.class_dropout).map(Classes::rows);
        let grids = spec.condition_grids.iter().enumerate();
        let cond_resnets = grids.map(|(index, grid)| {
            let vs = if index == 0 { vs / "cond_resnet" } else { vs / "cond_resnets" / index };
            CondResNet::new(&vs, grid, config)
        });
        let block = |index| PixelBlock::new(&(vs / "blocks" / index), config, !spec.condition_grids.is_empty());
        Self {
            input: Input::new(vs, spec.sizes[0], channel, kernel_size),
            background: background(vs, spec.grid),
            class_embedding: classes.map(|rows| class_embedding(vs, rows, channel)),
            cond_resnets: cond_resnets.collect(),
            blocks: (0..config.n_block).map(block).collect(),
            head: Head::new(&(vs / "out"), config, spec.sizes[0]),
            config: config.clone(),
            spec: spec.clone(),
        }
    }

    /// Logits `[B, K, H, W]` as [`Prior::logits`], but of no condition grids, whatever the prior was built for: nothing is
    /// added in their place. Upstream is called so where it gets no condition; it is not trained so.
    ///
    /// # Errors
    /// When the target, or what else there is of a condition, is not what the prior was built for.
    pub fn logits_without_grids(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target().check(target, "the target")?;
        let spec = PriorSpec { condition_grids: Vec::new(), ..self.spec.clone() };
        spec.check(condition, target.batch(), self.config.has_null())?;
        let context = self.context(condition, target.batch(), false)?;
        self.forward(&self.tokens(target), &context, false)
    }

    /// Logits `[B, K, H, W]` of tokens `[B, H, W]`.
    fn forward(&self, tokens: &Tensor, context: &Context, train: bool) -> Result<Tensor, PriorError> {
        let given = blocks::Condition { features: context.features.as_ref(), dropout: self.dropout(train) };
        let mut features = self.input.forward(tokens)?;
        if let Some(class) = &context.class {
            features += class;
        }
        let [batch, _, height, width] = features.size4()?.into();
        let background = self.background.expand([batch, 2, height, width], false);
        for block in &self.blocks {
            features = block.forward(&features, &background, given);
        }
        Ok(self.head.forward(features, given.dropout))
    }

    fn tokens(&self, target: &TokenGrid) -> Tensor {
        target.indices.squeeze_dim(1).to_device(self.device())
    }

    /// Looks at the condition of `target`.
    fn given(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<Context, PriorError> {
        self.spec.target().check(target, "the target")?;
        self.spec.check(condition, target.batch(), self.config.has_null())?;
        self.context(condition, target.batch(), train)
    }

    fn dropout(&self, train: bool) -> f64 {
        if train { self.config.dropout } else { 0.0 }
    }
}

impl Prior for PixelSnail {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    fn device(&self) -> Device {
        self.background.device()
    }

    fn loss(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        let context = self.given(target, condition, train)?;
        let tokens = self.tokens(target);
        let logits = self.forward(&tokens, &context, train)?;
        Ok(PriorLoss::of_image(cross_entropy_of_maps(&logits, &tokens)?))
    }

    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        let context = self.given(target, condition, false)?;
        self.forward(&self.tokens(target), &context, false)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        self.spec.check(condition, batch, self.config.has_null())?;
        self.check_range(condition)?;
        let context = self.context(condition, batch, false)?;
        Ok(Box::new(PixelSnailCursor::new(self, &context, batch)))
    }

    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        Classes::null(self.classes(), condition, batch, self.device())
    }
}

impl Head {
    fn new(vs: &Path, config: &PixelSnailConfig, vocabulary: i64) -> Self {
        let PixelSnailConfig { channel, res_channel, n_out_res_block, .. } = *config;
        let block = |index| GatedResBlock::new(&(vs / index), channel, res_channel, Kernel::Around(1));
        // An ELU of its own stands between the blocks and the last convolution.
        let conv = Conv::new(&(vs / (n_out_res_block + 1)), [channel, vocabulary], 1, true);
        Self { blocks: (0..n_out_res_block).map(block).collect(), conv }
    }

    fn forward(&self, mut features: Tensor, dropout: f64) -> Tensor {
        for block in &self.blocks {
            features = block.forward(&features, None, blocks::Condition { features: None, dropout });
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
    let mut kept = vs.zeros_no_train("background", &[1, 2, grid[0], grid[1]]);
    tch::no_grad(|| kept.copy_(&Tensor::stack(&[rows, columns], 0).unsqueeze(0)));
    kept
}

/// A table `class_embedding.weight` `[rows, C]`, at first small beside the features of the tokens.
fn class_embedding(vs: &Path, rows: i64, channel: i64) -> Tensor {
    (vs / "class_embedding").var("weight", &[rows, channel], nn::Init::Randn { mean: 0.0, stdev: 0.02 })
}
