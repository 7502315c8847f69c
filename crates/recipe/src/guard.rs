//! `train.guard`: what happens when training goes wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when training goes wrong: the loss explodes or is not finite, the adaptive weight runs away, the discriminator
/// always wins or only guesses, a codebook collapses, or validation gets worse and worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// What to do. Default `"warn"`.
    pub on_fault: OnFault,
    /// Number of validations (or, of losses, of log entries) in a row that have to show the same fault; a value that is not finite
    /// is a fault at once. Default 2.
    pub patience: u32,
    /// Share of codes in use below which a codebook counts as collapsed, in [0, 1). Default 0.1.
    pub min_usage: f64,
    /// `"step-back"`: factor on the learning rate after every step back, in (0, 1]. Default 0.5.
    pub rate_factor: f64,
    /// `"step-back"`: how often a stage may step back before it stops. Default 3.
    pub max_step_backs: u32,
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFault {
    /// Say so and go on; a value that is not finite stops training.
    #[default]
    Warn,
    /// Stop with an error that names the cause and what to change.
    Stop,
    /// Go back to the last checkpoint before the fault, and on from there with a lower learning rate.
    StepBack,
}

impl Default for Guard {
    fn default() -> Self {
        Self { on_fault: OnFault::Warn, patience: 2, min_usage: 0.1, rate_factor: 0.5, max_step_backs: 3 }
    }
}

impl Guard {
    /// Whether these are the defaults, which a recipe need not say.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first key with an impossible value, and what is allowed.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, String)> {
        let Self { patience, min_usage, rate_factor, .. } = self;
        match () {
            () if *patience == 0 => Err(("guard.patience", "must be at least 1".into())),
            () if !(0.0..1.0).contains(min_usage) => {
                Err(("guard.min_usage", format!("must be in [0, 1), found {min_usage}")))
            }
            () if !(*rate_factor > 0.0 && *rate_factor <= 1.0) => {
                Err(("guard.rate_factor", format!("must be in (0, 1], found {rate_factor}")))
            }
            () => Ok(()),
        }
    }
}
