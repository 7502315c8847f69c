//! A small VGG-like classifier, whose features compare images where no large network is available.

mod frozen;
mod pooling;

use serde::{Deserialize, Serialize};
use tch::nn::{self, ModuleT};
use tch::{Kind, Tensor};

pub use frozen::FrozenVgg;

use crate::LossError;
use pooling::{halve, mean_over_space};

/// More channels, convolutions or stages than this are taken for a typing error.
const MOST: i64 = 4096;

/// The shape of a [`SmallVgg`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallVggConfig {
    /// Channels of each stage, starting at full resolution; every stage but the first begins by halving height and
    /// width.
    pub widths: Vec<i64>,
    /// Convolutions per stage. Default 2.
    #[serde(default = "default_convolutions")]
    pub convolutions: i64,
}

fn default_convolutions() -> i64 {
    2
}

impl SmallVggConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`LossError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), LossError> {
        let config = |field, reason: String| Err(LossError::Config { field, reason });
        let possible = |count: &i64| (1..=MOST).contains(count);
        if self.widths.is_empty() || self.widths.len() > 8 {
            return config("widths", format!("{} stages; there must be 1 to 8", self.widths.len()));
        }
        if let Some(width) = self.widths.iter().find(|width| !possible(width)) {
            return config("widths", format!("{width} must be at least 1 and at most {MOST}"));
        }
        if !(1..=8).contains(&self.convolutions) {
            return config("convolutions", format!("{} must be at least 1 and at most 8", self.convolutions));
        }
        Ok(())
    }

    /// The smallest height and width that reach the last stage.
    pub fn smallest_image(&self) -> i64 {
        1 << (self.widths.len() - 1)
    }
}

/// Stages of 3×3 convolutions, each with batch normalisation and ReLU, with 2×2 max-pooling between the stages; then
/// the mean over the image and one linear layer: a small version of configuration B of Simonyan and Zisserman 2014.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_losses::{SmallVgg, SmallVggConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let config = SmallVggConfig { widths: vec![8, 16], convolutions: 2 };
/// let network = SmallVgg::new(&vs.root(), 3, 10, &config)?;
/// let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu));
/// assert_eq!(network.logits(&images, false).size(), [2, 10]);
/// # Ok::<(), vqkit_losses::LossError>(())
/// ```
#[derive(Debug)]
pub struct SmallVgg {
    stages: Vec<Vec<(nn::Conv2D, nn::BatchNorm)>>,
    classifier: nn::Linear,
}

impl SmallVgg {
    /// A network for images of `in_channels` channels and this many classes, with its variables at `vs`.
    ///
    /// # Errors
    /// As [`SmallVggConfig::validate`].
    pub fn new(vs: &nn::Path, in_channels: i64, classes: i64, config: &SmallVggConfig) -> Result<Self, LossError> {
        config.validate()?;
        let mut before = in_channels;
        let mut layer = |path: nn::Path, width: i64| {
            let conv = nn::ConvConfig { padding: 1, bias: false, ..Default::default() };
            let norm = nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), ..Default::default() };
            let from = std::mem::replace(&mut before, width);
            (nn::conv2d(&path / "conv", from, width, 3, conv), nn::batch_norm2d(&path / "norm", width, norm))
        };
        let stages = config.widths.iter().enumerate().map(|(stage, &width)| {
            (0..config.convolutions).map(|index| layer(vs / "stages" / stage / index, width)).collect()
        });
        let stages = stages.collect();
        Ok(Self { stages, classifier: nn::linear(vs / "classifier", before, classes, Default::default()) })
    }

    /// Images `[B, C, H, W]` in `[-1, 1]` to logits `[B, classes]`; `train` is for batch normalisation.
    pub fn logits(&self, images: &Tensor, train: bool) -> Tensor {
        let mut x = images.shallow_clone();
        for (index, stage) in self.stages.iter().enumerate() {
            x = if index == 0 { x } else { halve(&x) };
            x = stage.iter().fold(x, |x, (conv, norm)| norm.forward_t(&x.apply(conv), train).relu_());
        }
        mean_over_space(&x).apply(&self.classifier)
    }

    /// The network for inference: batch normalisation is folded into the convolutions.
    pub fn freeze(&self) -> FrozenVgg {
        tch::no_grad(|| {
            let stages = self.stages.iter().map(|stage| stage.iter().map(folded).collect()).collect();
            let bias = self.classifier.bs.as_ref().map_or_else(
                || Tensor::zeros([self.classifier.ws.size()[0]], (Kind::Float, self.classifier.ws.device())),
                Tensor::copy,
            );
            FrozenVgg::new(stages, (self.classifier.ws.copy(), bias))
        })
    }
}

/// Weight and bias of one convolution that does what `conv` and `norm` do in evaluation.
fn folded((conv, norm): &(nn::Conv2D, nn::BatchNorm)) -> (Tensor, Tensor) {
    let eps = nn::BatchNormConfig::default().eps;
    let deviation = (&norm.running_var + eps).sqrt();
    let one = || deviation.ones_like();
    let gain = norm.ws.as_ref().map_or_else(one, Tensor::shallow_clone) / &deviation;
    let shift = norm.bs.as_ref().map_or_else(|| gain.zeros_like(), Tensor::shallow_clone);
    (&conv.ws * gain.view([-1, 1, 1, 1]), shift - &norm.running_mean * gain)
}
