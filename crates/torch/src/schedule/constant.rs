//! The constant learning rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::factor::Factor;

/// The factor 1, after an optional linear warm-up over the first steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Number of warm-up steps, over which the factor rises linearly; with `type = "constant"`, step `n`, counted from
    /// 0, has the factor `(n + 1) / warmup_steps`. Default 0.
    #[serde(default)]
    pub warmup_steps: u64,
}

impl Factor for Constant {
    fn factor(&self, step: u64, _steps: u64) -> f64 {
        if step < self.warmup_steps { (step + 1) as f64 / self.warmup_steps as f64 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_one_and_stays() {
        let factors: Vec<_> = (0..6).map(|step| Constant { warmup_steps: 4 }.factor(step, 6)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(Constant::default().factor(0, 6), 1.0);
    }
}
