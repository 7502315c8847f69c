//! The temperature of a softmax, or a weight, by training step.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::QuantizeError;

/// Change of a temperature, or of a weight, over the first steps of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anneal {
    /// The value from step `steps` on; above 0.
    pub end: f64,
    /// Number of steps until then; at least 1.
    pub steps: u64,
    /// Shape of the curve. Default `"cosine"`.
    #[serde(default)]
    pub curve: AnnealCurve,
}

/// Shape of the curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnnealCurve {
    /// Half a cosine, as in `LambdaWarmUpCosineScheduler` of taming-transformers after its warm-up.
    #[default]
    Cosine,
    /// Exponential: the same factor in every step (Jang et al. 2017, section 4).
    Exponential,
}

impl Anneal {
    /// The value of a step, counted from 0, after `start` at the first.
    pub(crate) fn value(&self, start: f64, step: u64) -> f64 {
        let done = step.min(self.steps) as f64 / self.steps.max(1) as f64;
        match self.curve {
            AnnealCurve::Cosine => self.end + 0.5 * (start - self.end) * (1.0 + (PI * done).cos()),
            AnnealCurve::Exponential => start * (self.end / start).powf(done),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), QuantizeError> {
        check_temperature("anneal", self.end)?;
        if self.steps > 0 {
            return Ok(());
        }
        Err(QuantizeError::Config { field: "anneal", reason: "`steps` is 0; it takes at least 1".into() })
    }
}

pub(crate) fn check_temperature(field: &'static str, temperature: f64) -> Result<(), QuantizeError> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(());
    }
    let reason = format!("a temperature must be above 0 and finite, found {temperature}");
    Err(QuantizeError::Config { field, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_curves_lead_from_start_to_end_and_stay() {
        for (curve, half) in [(AnnealCurve::Cosine, 0.625), (AnnealCurve::Exponential, 0.5)] {
            let anneal = Anneal { end: 0.25, steps: 10, curve };
            let temperatures = [0, 5, 10, 99].map(|step| anneal.value(1.0, step));
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(temperatures.iter().zip(&[1.0, half, 0.25, 0.25]).all(near), "{curve:?}: {temperatures:?}");
        }
    }
}
