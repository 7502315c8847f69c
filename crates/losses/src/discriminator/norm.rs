//! The discriminator's normalisations, under the names that taming-transformers gives their variables.

use tch::nn::{self, ModuleT};
use tch::{Kind, Tensor, no_grad};

use super::config::DiscriminatorNorm;

/// A normalisation of `[B, C, H, W]`, or nothing.
#[derive(Debug)]
pub(super) enum Norm {
    None,
    Batch(BatchNorm),
    Act(ActNorm),
}

impl Norm {
    pub fn new(vs: &nn::Path, kind: DiscriminatorNorm, channels: i64) -> Self {
        match kind {
            DiscriminatorNorm::None => Self::None,
            DiscriminatorNorm::Batch => Self::Batch(BatchNorm::new(vs, channels)),
            DiscriminatorNorm::Actnorm => Self::Act(ActNorm::new(vs, channels)),
        }
    }

    pub fn forward(&self, x: Tensor, train: bool) -> Result<Tensor, tch::TchError> {
        match self {
            Self::None => Ok(x),
            Self::Batch(norm) => norm.forward(&x, train),
            Self::Act(norm) => norm.forward(&x, train),
        }
    }
}

/// Batch normalisation that counts its batches, as PyTorch's does.
#[derive(Debug)]
pub(super) struct BatchNorm {
    norm: nn::BatchNorm,
    /// `[]`, i64.
    num_batches_tracked: Tensor,
}

impl BatchNorm {
    fn new(vs: &nn::Path, channels: i64) -> Self {
        let config = nn::BatchNormConfig { ws_init: nn::Init::Randn { mean: 1.0, stdev: 0.02 }, ..Default::default() };
        let none = Tensor::zeros([0i64; 0], (Kind::Int64, vs.device()));
        Self {
            norm: nn::batch_norm2d(vs, channels, config),
            num_batches_tracked: vs.add("num_batches_tracked", none, false),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, tch::TchError> {
        if train {
            let _ = no_grad(|| self.num_batches_tracked.shallow_clone().f_add_scalar_(1))?;
        }
        Ok(self.norm.forward_t(x, train))
    }
}

/// `scale (x + loc)`, which the first training batch sets so that every channel has mean 0 and deviation 1 on it
/// (Kingma & Dhariwal 2018, "Glow", section 3.1; taming's `ActNorm`).
#[derive(Debug)]
pub(super) struct ActNorm {
    /// `[1, C, 1, 1]`.
    loc: Tensor,
    /// `[1, C, 1, 1]`.
    scale: Tensor,
    /// `[]`, u8: 1 once a batch has set the others.
    initialized: Tensor,
}

impl ActNorm {
    fn new(vs: &nn::Path, channels: i64) -> Self {
        let no = Tensor::zeros([0i64; 0], (Kind::Uint8, vs.device()));
        Self {
            loc: vs.zeros("loc", &[1, channels, 1, 1]),
            scale: vs.ones("scale", &[1, channels, 1, 1]),
            initialized: vs.add("initialized", no, false),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, tch::TchError> {
        if train && self.initialized.int64_value(&[]) == 0 {
            no_grad(|| self.initialize(&x.to_kind(Kind::Float)))?;
        }
        (x + &self.loc).f_mul(&self.scale)
    }

    fn initialize(&self, x: &Tensor) -> Result<(), tch::TchError> {
        let over = [0i64, 2, 3].as_slice();
        let deviation = x.f_std_dim(over, true, true)?;
        self.loc.shallow_clone().f_copy_(&-x.f_mean_dim(over, true, Kind::Float)?)?;
        self.scale.shallow_clone().f_copy_(&(deviation + 1e-6).reciprocal())?;
        let _ = self.initialized.shallow_clone().f_fill_(1)?;
        Ok(())
    }
}
