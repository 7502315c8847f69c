//! A patch discriminator.

mod config;
mod norm;

use tch::{Tensor, nn};
use vqkit_torch::leaky_relu;

pub use config::{DiscriminatorNorm, PatchGanConfig};

use crate::LossError;
use norm::Norm;

/// Deviation of the first weights of convolutions (Isola et al. 2017, section 6.2).
const INIT_STDEV: f64 = 0.02;
/// Slope of the leaky ReLUs below 0.
const SLOPE: f64 = 0.2;

/// The PatchGAN discriminator of pix2pix (Isola et al. 2017, section 3.2.2) as VQGAN uses it: taming's
/// `NLayerDiscriminator`, with its names of variables (`main.0.weight`, `main.3.running_mean`, …).
///
/// Convolutions of 4 by 4: `n_layers` that halve the image, one that does not, and one to the logits, with leaky ReLUs of
/// slope 0.2 between. Each logit belongs to one patch. Without normalisation the names stay those of the layout with one.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_losses::{GanLoss, PatchGan, PatchGanConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let config = PatchGanConfig { ndf: 8, n_layers: 2, ..PatchGanConfig::default() };
/// let discriminator = PatchGan::new(&vs.root(), 3, &config)?;
/// let images = Tensor::rand([4, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
/// let real = discriminator.forward(&images, true)?;
/// let fake = discriminator.forward(&(&images * 0.5), true)?;
/// assert_eq!(real.size(), [4, 1, 6, 6]);
/// GanLoss::Hinge.discriminator(&real, &fake).backward();
/// # Ok::<(), vqkit_losses::LossError>(())
/// ```
#[derive(Debug)]
pub struct PatchGan {
    layers: Vec<Layer>,
    logits: nn::Conv2D,
    in_channels: i64,
    config: PatchGanConfig,
}

/// A convolution, an optional normalisation, and a leaky ReLU.
#[derive(Debug)]
struct Layer {
    conv: nn::Conv2D,
    norm: Norm,
}

impl PatchGan {
    /// A discriminator of images with `in_channels` channels, with its variables at `vs / "main"`. Weights of convolutions
    /// start as N(0, 0.02²), those of batch normalisation as N(1, 0.02²), biases at 0, where upstream leaves those of
    /// convolutions as PyTorch draws them.
    ///
    /// # Errors
    /// [`LossError::Config`] for the first value out of range.
    pub fn new(vs: &nn::Path, in_channels: i64, config: &PatchGanConfig) -> Result<Self, LossError> {
        config.validate()?;
        config::check_channels(in_channels)?;
        let main = vs / "main";
        let first = Layer { conv: conv(&(&main / 0), in_channels, config.ndf, 2, true), norm: Norm::None };
        let biased = config.norm != DiscriminatorNorm::Batch;
        let others = (1..=config.n_layers).map(|n| {
            let at = 3 * n - 1;
            let stride = if n < config.n_layers { 2 } else { 1 };
            let (narrow, wide) = (config.width(n - 1), config.width(n));
            Layer {
                conv: conv(&(&main / at), narrow, wide, stride, biased),
                norm: Norm::new(&(&main / (at + 1)), config.norm, wide),
            }
        });
        let layers = std::iter::once(first).chain(others).collect();
        let logits = conv(&(&main / (3 * config.n_layers + 2)), config.width(config.n_layers), 1, 1, true);
        Ok(Self { layers, logits, in_channels, config: config.clone() })
    }

    /// The logits of every patch, high where it looks real. With `train`, batch normalisation uses the statistics of
    /// this batch and updates its running ones, and ActNorm is initialized from its first batch.
    ///
    /// # Shapes
    /// `[B, C, H, W]` in `[-1, 1]` to `[B, 1, ⌊H / 2ⁿ⌋ - 2, ⌊W / 2ⁿ⌋ - 2]`, n being `n_layers`; in the precision of
    /// autocast where that is on.
    ///
    /// # Errors
    /// [`LossError::Shape`] for another rank or number of channels, [`LossError::Size`] for images that leave no logit,
    /// [`LossError::Torch`] where libtorch refuses.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, LossError> {
        self.check(images)?;
        let mut x = images.shallow_clone();
        for layer in &self.layers {
            x = layer.forward(&x, train)?;
        }
        Ok(x.apply(&self.logits))
    }

    fn check(&self, images: &Tensor) -> Result<(), LossError> {
        let size = images.size();
        let [_, channels, height, width] = size[..] else { return Err(self.wrong_shape(size)) };
        if channels != self.in_channels {
            return Err(self.wrong_shape(size));
        }
        let least = self.config.least_size();
        if height.min(width) < least {
            let network = format!("a discriminator with n_layers = {}", self.config.n_layers);
            return Err(LossError::Size { height, width, network, least });
        }
        Ok(())
    }

    fn wrong_shape(&self, got: Vec<i64>) -> LossError {
        LossError::Shape { what: "images", want: format!("[B, {}, H, W]", self.in_channels), got }
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, LossError> {
        Ok(leaky_relu(&self.norm.forward(x.apply(&self.conv), train)?, SLOPE)?)
    }
}

fn conv(vs: &nn::Path, channels_in: i64, channels_out: i64, stride: i64, bias: bool) -> nn::Conv2D {
    let ws_init = nn::Init::Randn { mean: 0.0, stdev: INIT_STDEV };
    let config =
        nn::ConvConfig { stride, padding: 1, bias, ws_init, bs_init: nn::Init::Const(0.0), ..Default::default() };
    nn::conv2d(vs, channels_in, channels_out, 4, config)
}
