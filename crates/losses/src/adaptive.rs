//! Weight of the adversarial term: relative to the reconstruction, and over the course of training.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Upper bound of the adaptive weight in taming-transformers.
pub const MAX_ADAPTIVE_WEIGHT: f64 = 1e4;

/// Keeps the quotient finite (δ of VQGAN's eq. 7 is 1e-6; its code uses this value).
const DELTA: f64 = 1e-4;

/// `||∇ L_rec|| / (||∇ L_adv|| + 1e-4)`, at most `max`: the weight that gives both losses gradients of the same norm at the
/// decoder's last layer (VQGAN, Esser et al. 2021, eq. 7; taming's `calculate_adaptive_weight`).
///
/// A scalar in fp32 on the gradients' device, detached.
///
/// ```
/// use tch::Tensor;
/// use vqkit_losses::{MAX_ADAPTIVE_WEIGHT, adaptive_weight};
///
/// let weight = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
/// let (reconstruction, adversarial) = (weight.square().sum(None), weight.sum(None) * 10.0);
/// let gradient = |loss: &Tensor| Tensor::run_backward(&[loss], &[&weight], true, false).remove(0);
/// let factor = adaptive_weight(&gradient(&reconstruction), &gradient(&adversarial), MAX_ADAPTIVE_WEIGHT);
/// assert!((factor.double_value(&[]) - (20f64 / 200.0).sqrt()).abs() < 1e-5);
/// ```
///
/// # Shapes
/// Gradients of any shape, with respect to one tensor.
pub fn adaptive_weight(reconstruction_gradient: &Tensor, adversarial_gradient: &Tensor, max: f64) -> Tensor {
    let norm = |gradient: &Tensor| gradient.detach().to_kind(Kind::Float).norm();
    (norm(reconstruction_gradient) / (norm(adversarial_gradient) + DELTA)).clamp(0.0, max)
}

/// A factor on a term that starts late: 0 before `start_step`, then a straight line to 1.
///
/// ```
/// use vqkit_losses::Ramp;
///
/// let ramp = Ramp { start_step: 10, ramp_steps: 4 };
/// assert_eq!([9, 10, 11, 13, 99].map(|step| ramp.factor(step)), [0.0, 0.25, 0.5, 1.0, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// The first step with the term, counted from 0. Default 0.
    pub start_step: u64,
    /// Steps of the rise: step `n` of them, counted from 0, gets `(n + 1) / ramp_steps`. Default 0: all at once, as in
    /// taming's `adopt_weight`.
    pub ramp_steps: u64,
}

impl Ramp {
    /// The factor at `step`, in `[0, 1]`.
    pub fn factor(&self, step: u64) -> f64 {
        match step.checked_sub(self.start_step) {
            None => 0.0,
            Some(done) if done < self.ramp_steps => (done + 1) as f64 / self.ramp_steps as f64,
            Some(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_bounded_and_finite() {
        let (some, none) = (Tensor::from_slice(&[3.0f32, 4.0]), Tensor::from_slice(&[0.0f32, 0.0]));
        let weight = |a: &Tensor, b: &Tensor, max| adaptive_weight(a, b, max).double_value(&[]);
        assert_eq!(weight(&some, &none, MAX_ADAPTIVE_WEIGHT), 1e4);
        assert_eq!(weight(&some, &none, 2.0), 2.0);
        assert_eq!(weight(&none, &some, 2.0), 0.0);
        assert!((weight(&some, &some.to_kind(Kind::BFloat16), 2.0) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn without_a_rise_it_is_a_switch() {
        let ramp: Ramp = serde_json::from_str(r#"{"start_step": 3}"#).unwrap();
        assert_eq!([0, 2, 3, 4, u64::MAX].map(|step| ramp.factor(step)), [0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(Ramp::default().factor(0), 1.0);
        assert!(serde_json::from_str::<Ramp>(r#"{"start": 3}"#).is_err());
        assert!(serde_json::from_str::<Ramp>(r#"{"start_step": -3}"#).is_err());
    }
}
