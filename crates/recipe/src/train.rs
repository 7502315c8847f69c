//! `train`: how a network is trained; tokenizers and priors have the same keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};
use vqkit_torch::schedule::Schedule;

use crate::guard::Guard;

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Number of optimizer steps.
    pub steps: u64,
    /// Samples per optimizer step.
    pub batch_size: usize,
    /// Gradient accumulation: each batch is computed in this many parts, one after the other, to save memory; the
    /// weights are updated once per batch. Must divide `batch_size`; `[features]` supports only 1. Default 1.
    #[serde(default = "Train::default_grad_accumulation")]
    pub grad_accumulation: usize,
    /// The optimizer. Default `"adamw"`.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Learning rate, multiplied by the factor of the schedule.
    pub learning_rate: f64,
    /// The factor on the learning rate at each step. Default: constant.
    #[serde(default)]
    pub schedule: Schedule,
    /// Decay rates of AdamW's two moments, in [0, 1). Default `[0.9, 0.95]`.
    #[serde(default = "Train::default_betas")]
    pub betas: (f64, f64),
    /// Decoupled weight decay, 0 or more; it applies to matrices and convolution kernels
    /// (`vqkit_torch::optim::decays`). Default 0.
    #[serde(default)]
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm; 0 turns clipping off. Default 1.
    #[serde(default = "Train::default_clip_norm")]
    pub clip_norm: f64,
    /// Decay per step of an exponential moving average of the weights, in [0, 1); later stages use the average. 0 keeps
    /// no average. Default 0.
    #[serde(default)]
    pub ema_decay: f64,
    /// Steps between two entries of the log. Default 50.
    #[serde(default = "Train::default_log_every")]
    pub log_every: u64,
    /// Steps between two validations; the checkpoint with the best result is kept. Default 1000.
    #[serde(default = "Train::default_every")]
    pub validate_every: u64,
    /// Largest number of samples per validation. Default 1000.
    #[serde(default = "Train::default_validate_samples")]
    pub validate_samples: usize,
    /// Steps between two checkpoints. Default 1000.
    #[serde(default = "Train::default_every")]
    pub checkpoint_every: u64,
    /// Number of most recent checkpoints to keep, in addition to the best. Default 2.
    #[serde(default = "Train::default_keep")]
    pub keep: usize,
    /// The checkpoint that later stages use: that of the best validation, or the last. A prior that is to know few images by heart
    /// needs the last. Default `"best"`.
    #[serde(default, skip_serializing_if = "Select::is_default")]
    pub select: Select,
    /// What happens when training goes wrong. Default: a warning.
    #[serde(default, skip_serializing_if = "Guard::is_default")]
    pub guard: Guard,
}

/// The checkpoint that later stages use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// That of the best validation.
    #[default]
    Best,
    /// The last.
    Last,
}

impl Select {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for all weights.
    #[default]
    AdamW,
    /// Muon for the weights of hidden layers, AdamW for all others: more work per step, far fewer steps.
    Muon,
}

impl Train {
    fn default_grad_accumulation() -> usize {
        1
    }

    fn default_betas() -> (f64, f64) {
        (0.9, 0.95)
    }

    fn default_clip_norm() -> f64 {
        1.0
    }

    fn default_log_every() -> u64 {
        50
    }

    fn default_every() -> u64 {
        1000
    }

    fn default_validate_samples() -> usize {
        1000
    }

    fn default_keep() -> usize {
        2
    }

    pub(super) fn from_section(section: &Section) -> Result<Self, ConfigError> {
        let train: Self = section.read()?;
        match train.validate() {
            Ok(()) => Ok(train),
            Err((key, reason)) => Err(section.error_at(key, &reason)),
        }
    }

    /// As [`from_section`](Self::from_section), for a training loop without gradient accumulation.
    pub(super) fn from_unsplit_section(section: &Section) -> Result<Self, ConfigError> {
        let train = Self::from_section(section)?;
        match train.grad_accumulation {
            1 => Ok(train),
            found => Err(section.error_at("grad_accumulation", &format!("must be 1 in [features], found {found}"))),
        }
    }

    fn validate(&self) -> Result<(), (&'static str, String)> {
        let counts = [
            ("steps", self.steps),
            ("batch_size", self.batch_size as u64),
            ("grad_accumulation", self.grad_accumulation as u64),
            ("log_every", self.log_every),
            ("validate_every", self.validate_every),
            ("validate_samples", self.validate_samples as u64),
            ("checkpoint_every", self.checkpoint_every),
            ("keep", self.keep as u64),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err((key, "must be at least 1".into()));
        }
        if !self.batch_size.is_multiple_of(self.grad_accumulation) {
            let reason = format!("{} does not divide batch_size = {}", self.grad_accumulation, self.batch_size);
            return Err(("grad_accumulation", reason));
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let checks = [
            ("learning_rate", positive(self.learning_rate), self.learning_rate, "must be a positive number"),
            ("betas", share(self.betas.0), self.betas.0, "must be in [0, 1)"),
            ("betas", share(self.betas.1), self.betas.1, "must be in [0, 1)"),
            (
                "weight_decay",
                self.weight_decay == 0.0 || positive(self.weight_decay),
                self.weight_decay,
                "must be 0 or more",
            ),
            ("clip_norm", self.clip_norm == 0.0 || positive(self.clip_norm), self.clip_norm, "must be 0 or more"),
            ("ema_decay", share(self.ema_decay), self.ema_decay, "must be in [0, 1)"),
        ];
        if let Some((key, _, value, rule)) = checks.into_iter().find(|(_, holds, ..)| !holds) {
            return Err((key, format!("{rule}, found {value}")));
        }
        self.guard.validate()?;
        self.schedule.validate(self.steps).map_err(|error| ("schedule", error.to_string()))
    }
}
