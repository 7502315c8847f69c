//! Linear warm-up and cosine decay.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;
use crate::TorchError;

/// Linearly from `start` to `peak`, then along half a cosine to `end`, which is then kept: the
/// `LambdaWarmUpCosineScheduler` of taming-transformers (`lr_start`, `lr_max`, `lr_min`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmupCosine {
    /// Number of warm-up steps, over which the factor rises linearly.
    pub warmup_steps: u64,
    /// The step at which the factor reaches `end`, counted from the start of training. Default: the last step of
    /// training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
    /// The factor of step 0. Default 0.
    #[serde(default)]
    pub start: f64,
    /// The factor at the end of the warm-up. Default 1.
    #[serde(default = "WarmupCosine::default_peak")]
    pub peak: f64,
    /// The factor at the end of the decay. Default 0.
    #[serde(default)]
    pub end: f64,
}

impl WarmupCosine {
    fn default_peak() -> f64 {
        1.0
    }
}

impl Factor for WarmupCosine {
    fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return self.start + (self.peak - self.start) * step as f64 / self.warmup_steps as f64;
        }
        let length = self.decay_steps.unwrap_or(steps).saturating_sub(self.warmup_steps);
        let done = (step - self.warmup_steps).min(length) as f64 / length.max(1) as f64;
        self.end + 0.5 * (self.peak - self.end) * (1.0 + (PI * done).cos())
    }

    fn validate(&self, steps: u64) -> Result<(), TorchError> {
        for (field, value) in [("start", self.start), ("peak", self.peak), ("end", self.end)] {
            if !value.is_finite() || value < 0.0 {
                return Err(TorchError::config(field, format!("must be a finite number of at least 0, found {value}")));
            }
        }
        let (field, last) = match self.decay_steps {
            Some(last) => ("decay_steps", last),
            None => ("warmup_steps", steps),
        };
        if last <= self.warmup_steps {
            let reason = format!("the decay ends at step {last}, before the {} steps of warm-up do", self.warmup_steps);
            return Err(TorchError::config(field, reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> WarmupCosine {
        WarmupCosine { warmup_steps: 4, decay_steps: Some(12), start: 0.0, peak: 1.0, end: 0.2 }
    }

    #[test]
    fn goes_through_its_corners() {
        let corners = [0, 2, 4, 8, 12, 99].map(|step| schedule().factor(step, 1000));
        let expected = [0.0, 0.5, 1.0, 0.6, 0.2, 0.2];
        assert!(corners.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{corners:?}");
    }

    #[test]
    fn by_default_the_decay_lasts_as_long_as_the_training() {
        let whole = WarmupCosine { decay_steps: None, ..schedule() };
        assert_eq!(whole.factor(7, 12), schedule().factor(7, 1000));
    }

    #[test]
    fn a_decay_that_ends_in_the_warm_up_is_refused() {
        let wrong = WarmupCosine { decay_steps: Some(4), ..schedule() };
        let message = wrong.validate(100).unwrap_err().to_string();
        assert_eq!(message, "`decay_steps`: the decay ends at step 4, before the 4 steps of warm-up do");
        assert!(wrong.factor(4, 100).is_finite());
    }

    #[test]
    fn factors_are_finite_and_not_negative() {
        assert!(schedule().validate(100).is_ok());
        let wrong = WarmupCosine { peak: f64::NAN, ..schedule() };
        let message = wrong.validate(100).unwrap_err().to_string();
        assert_eq!(message, "`peak`: must be a finite number of at least 0, found NaN");
    }
}
