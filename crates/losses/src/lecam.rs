//! LeCam regularisation: keeps a discriminator's logits close to moving averages of past logits.

use tch::{Kind, Tensor, nn, no_grad};

use crate::LossError;

/// Keeps a discriminator's logits near moving averages of the logits of the other side, which stabilises training on
/// few images (Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data").
///
/// The averages start at 0, the logits of a discriminator that knows nothing. They are variables, so they come back with
/// a checkpoint.
///
/// ```
/// use tch::{Device, Tensor, nn};
/// use vqkit_losses::LeCam;
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let mut lecam = LeCam::new(&(vs.root() / "lecam"), LeCam::DECAY)?;
/// let (real, fake) = (Tensor::from_slice(&[1.0f32, -1.0]), Tensor::from_slice(&[-2.0f32, 0.0]));
/// assert_eq!(lecam.loss(&real, &fake).double_value(&[]), 0.5 + 2.0);
/// lecam.update(&real, &fake);
/// # Ok::<(), vqkit_losses::LossError>(())
/// ```
#[derive(Debug)]
pub struct LeCam {
    ema_real: Tensor,
    ema_fake: Tensor,
    decay: f64,
}

impl LeCam {
    /// The default decay per step; the paper's code for StyleGAN2 uses 0.99.
    pub const DECAY: f64 = 0.999;

    /// Two scalar variables at `vs`, which take no gradient: `ema_real` and `ema_fake`.
    ///
    /// # Errors
    /// [`LossError::Config`] when `decay` does not lie in `[0, 1)`.
    pub fn new(vs: &nn::Path, decay: f64) -> Result<Self, LossError> {
        if !(0.0..1.0).contains(&decay) {
            let reason = format!("{decay} must be at least 0 and below 1");
            return Err(LossError::Config { field: "decay", reason });
        }
        let (ema_real, ema_fake) = (vs.zeros_no_train("ema_real", &[]), vs.zeros_no_train("ema_fake", &[]));
        Ok(Self { ema_real, ema_fake, decay })
    }

    /// `E relu(D(x) - ema_fake)² + E relu(ema_real - D(x̂))²` of logits of any shape: a scalar for the discriminator's
    /// loss, in fp32. This is `lecam_reg` of the paper's code (google/lecam-gan); the paper itself has no ReLUs.
    pub fn loss(&self, real_logits: &Tensor, fake_logits: &Tensor) -> Tensor {
        let (real, fake) = (real_logits.to_kind(Kind::Float), fake_logits.to_kind(Kind::Float));
        let above_fakes = (real - &self.ema_fake).relu().square().mean(Kind::Float);
        above_fakes + (&self.ema_real - fake).relu().square().mean(Kind::Float)
    }

    /// Updates the averages with the means of these logits. Only the training loop calls it, once per step.
    pub fn update(&mut self, real_logits: &Tensor, fake_logits: &Tensor) {
        let toward = 1.0 - self.decay;
        no_grad(|| {
            let _ = self.ema_real.lerp_(&real_logits.mean(Kind::Float), toward);
            let _ = self.ema_fake.lerp_(&fake_logits.mean(Kind::Float), toward);
        });
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn averages_follow_the_logits_and_hold_them() {
        let vs = nn::VarStore::new(Device::Cpu);
        let mut lecam = LeCam::new(&(vs.root() / "lecam"), 0.5).unwrap();
        let (real, fake) = (Tensor::from_slice(&[3.0f32, 5.0]), Tensor::from_slice(&[-2.0f32]));
        lecam.update(&real, &fake);
        lecam.update(&real, &fake);
        let variables = vs.variables();
        assert_eq!(variables["lecam.ema_real"].double_value(&[]), 3.0);
        assert_eq!(variables["lecam.ema_fake"].double_value(&[]), -1.5);
        assert!(vs.trainable_variables().is_empty());
        // relu(3 + 1.5)² and relu(5 + 1.5)² in the mean, and relu(3 + 2)²
        assert_eq!(lecam.loss(&real, &fake).double_value(&[]), (20.25 + 42.25) / 2.0 + 25.0);
    }

    #[test]
    fn a_decay_out_of_range_is_refused() {
        let vs = nn::VarStore::new(Device::Cpu);
        for decay in [1.0, -0.1, f64::NAN] {
            assert!(matches!(LeCam::new(&vs.root(), decay), Err(LossError::Config { field: "decay", .. })), "{decay}");
        }
    }
}
