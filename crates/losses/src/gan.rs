//! Adversarial losses of discriminator and generator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// A pair of adversarial losses; every logit counts alike, whatever the shape of the logits.
///
/// ```
/// use tch::Tensor;
/// use vqkit_losses::GanLoss;
///
/// let (real, fake) = (Tensor::from_slice(&[2.0f32, 0.0]), Tensor::from_slice(&[-2.0f32, 1.0]));
/// assert_eq!(GanLoss::Hinge.discriminator(&real, &fake).double_value(&[]), 0.5 * (0.5 + 1.0));
/// assert_eq!(GanLoss::Hinge.generator(&fake).double_value(&[]), 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GanLoss {
    /// Hinge (Lim & Ye 2017), as in VQGAN (`hinge_d_loss` of taming-transformers): `(E relu(1 - D(x)) + E relu(1 +
    /// D(x̂))) / 2`, and `-E D(x̂)` for the generator.
    #[default]
    Hinge,
    /// `vanilla_d_loss` of taming-transformers: `(E softplus(-D(x)) + E softplus(D(x̂))) / 2`, and `-E D(x̂)` for the
    /// generator, whose gradient is the same whether or not a reconstruction passes as real.
    Vanilla,
    /// Goodfellow et al. 2014, section 3: `E softplus(-D(x)) + E softplus(D(x̂))`, and `E softplus(-D(x̂))` for the
    /// generator.
    NonSaturating,
}

impl GanLoss {
    /// The discriminator's loss: a scalar, computed in fp32 whatever the precision of the logits.
    pub fn discriminator(self, real_logits: &Tensor, fake_logits: &Tensor) -> Tensor {
        let (real, fake) = (real_logits.to_kind(Kind::Float), fake_logits.to_kind(Kind::Float));
        match self {
            Self::Hinge => ((-real + 1.0).relu().mean(Kind::Float) + (fake + 1.0).relu().mean(Kind::Float)) * 0.5,
            Self::Vanilla => cross_entropy(&real, &fake) * 0.5,
            Self::NonSaturating => cross_entropy(&real, &fake),
        }
    }

    /// The generator's loss: a scalar, computed in fp32 whatever the precision of the logits.
    pub fn generator(self, fake_logits: &Tensor) -> Tensor {
        let fake = fake_logits.to_kind(Kind::Float);
        match self {
            Self::Hinge | Self::Vanilla => -fake.mean(Kind::Float),
            Self::NonSaturating => (-fake).softplus().mean(Kind::Float),
        }
    }
}

fn cross_entropy(real: &Tensor, fake: &Tensor) -> Tensor {
    (-real).softplus().mean(Kind::Float) + fake.softplus().mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_2: f64 = std::f64::consts::LN_2;

    fn at(loss: GanLoss, real: f32, fake: f32) -> (f64, f64) {
        let (real, fake) = (Tensor::from_slice(&[real; 6]).view([2, 1, 1, 3]), Tensor::from_slice(&[fake; 4]));
        let (discriminator, generator) = (loss.discriminator(&real, &fake), loss.generator(&fake));
        assert_eq!((discriminator.size(), generator.size()), (vec![], vec![]));
        (discriminator.double_value(&[]), generator.double_value(&[]))
    }

    #[test]
    fn a_discriminator_that_knows_nothing() {
        assert_eq!(at(GanLoss::Hinge, 0.0, 0.0), (1.0, 0.0));
        for (loss, expected) in [(GanLoss::Vanilla, (LOG_2, 0.0)), (GanLoss::NonSaturating, (2.0 * LOG_2, LOG_2))] {
            let found = at(loss, 0.0, 0.0);
            assert!((found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-6, "{loss:?}: {found:?}");
        }
    }

    #[test]
    fn the_hinge_is_flat_beyond_its_margin() {
        assert_eq!(at(GanLoss::Hinge, 1.5, -3.0), (0.0, 3.0));
        assert_eq!(at(GanLoss::Hinge, -1.0, 1.0), (2.0, -1.0));
    }

    #[test]
    fn logits_of_lower_precision_are_lifted_first() {
        let low = Tensor::from_slice(&[0.5f32, -0.25]).to_kind(Kind::BFloat16);
        for loss in [GanLoss::Hinge, GanLoss::Vanilla, GanLoss::NonSaturating] {
            let full = low.to_kind(Kind::Float);
            assert_eq!(loss.discriminator(&low, &low), loss.discriminator(&full, &full));
            assert_eq!(loss.generator(&low).kind(), Kind::Float);
        }
    }

    #[test]
    fn names_in_recipes() {
        let names = [GanLoss::Hinge, GanLoss::Vanilla, GanLoss::NonSaturating].map(|loss| serde_json::to_string(&loss));
        assert_eq!(names.map(Result::unwrap), [r#""hinge""#, r#""vanilla""#, r#""non-saturating""#]);
    }
}
