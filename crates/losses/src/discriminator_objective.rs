//! The discriminator's side of adversarial training: its network, its loss, and the step at which its training starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

use crate::{GanLoss, LeCam, LossError, MAX_ADAPTIVE_WEIGHT, PatchGan, PatchGanConfig, Ramp, r1};

/// `[tokenizer.loss.adversarial]`: the discriminator, its loss, and the weight of the generator's adversarial term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdversarialConfig {
    /// Weight of the adversarial term, multiplied by the adaptive weight; `disc_weight` of taming-transformers. Default
    /// 0.8.
    pub weight: f64,
    /// Whether the term is also weighted by the ratio of the norms of the two gradients, of reconstruction and
    /// adversarial loss, at the decoder's last layer ([`adaptive_weight`](crate::adaptive_weight)); otherwise by
    /// `weight` alone. Default true.
    pub adaptive: bool,
    /// Upper bound of the adaptive weight. Default 1e4.
    pub max_adaptive_weight: f64,
    /// The adversarial loss of discriminator and generator. Default `"hinge"`.
    pub loss: GanLoss,
    /// The first step of adversarial training, counted from 0. Default 0.
    pub start_step: u64,
    /// Number of steps over which the generator's term rises to its full weight. Default 0.
    pub ramp_steps: u64,
    /// Weight of the LeCam regularisation; 0 turns it off. Default 0.
    pub lecam_weight: f64,
    /// Decay per step of LeCam's moving averages of the logits, in [0, 1). Default 0.999.
    pub lecam_decay: f64,
    /// Weight γ of the R1 gradient penalty; 0 turns it off. Default 0.
    pub r1_weight: f64,
    /// Steps between two R1 penalties, each of which counts for all the steps between (lazy regularisation). Default
    /// 16.
    pub r1_every: u64,
    /// The discriminator's network.
    pub discriminator: PatchGanConfig,
}

impl Default for AdversarialConfig {
    fn default() -> Self {
        Self {
            weight: 0.8,
            adaptive: true,
            max_adaptive_weight: MAX_ADAPTIVE_WEIGHT,
            loss: GanLoss::default(),
            start_step: 0,
            ramp_steps: 0,
            lecam_weight: 0.0,
            lecam_decay: LeCam::DECAY,
            r1_weight: 0.0,
            r1_every: 16,
            discriminator: PatchGanConfig::default(),
        }
    }
}

impl AdversarialConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`LossError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), LossError> {
        let weights = [
            ("weight", self.weight),
            ("max_adaptive_weight", self.max_adaptive_weight),
            ("lecam_weight", self.lecam_weight),
            ("r1_weight", self.r1_weight),
        ];
        if let Some((field, value)) = weights.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            return Err(LossError::Config { field, reason: format!("{value} must be 0 or more") });
        }
        if !(0.0..1.0).contains(&self.lecam_decay) {
            let reason = format!("{} must be at least 0 and below 1", self.lecam_decay);
            return Err(LossError::Config { field: "lecam_decay", reason });
        }
        if self.r1_every == 0 {
            return Err(LossError::Config { field: "r1_every", reason: "must be at least 1".into() });
        }
        self.discriminator.validate()
    }
}

/// A discriminator with its loss and its regularisation.
#[derive(Debug)]
pub struct DiscriminatorObjective {
    config: AdversarialConfig,
    discriminator: PatchGan,
    lecam: Option<LeCam>,
}

/// The discriminator's loss on a batch.
#[derive(Debug)]
pub struct DiscriminatorLoss {
    /// The scalar to minimise.
    pub total: Tensor,
    /// Logits of the real images, detached.
    pub real_logits: Tensor,
}

impl DiscriminatorObjective {
    /// For images of `in_channels` channels, with its variables at `vs`: those of [`PatchGan`], and `lecam`.
    ///
    /// # Errors
    /// [`LossError::Config`] for the first value out of range.
    pub fn new(vs: &nn::Path, in_channels: i64, config: &AdversarialConfig) -> Result<Self, LossError> {
        config.validate()?;
        let regularised = config.lecam_weight > 0.0;
        Ok(Self {
            discriminator: PatchGan::new(vs, in_channels, &config.discriminator)?,
            lecam: regularised.then(|| LeCam::new(&(vs / "lecam"), config.lecam_decay)).transpose()?,
            config: config.clone(),
        })
    }

    /// The settings.
    pub fn config(&self) -> &AdversarialConfig {
        &self.config
    }

    /// Whether adversarial training has begun at `step`, counted from 0.
    pub fn is_active(&self, step: u64) -> bool {
        step >= self.config.start_step
    }

    /// The factor on the generator's term at `step`, without the adaptive weight.
    pub fn weight(&self, step: u64) -> f64 {
        let Self { config: AdversarialConfig { weight, start_step, ramp_steps, .. }, .. } = *self;
        weight * Ramp { start_step, ramp_steps }.factor(step)
    }

    /// Logits of a training batch `[B, C, H, W]` in `[-1, 1]`.
    ///
    /// # Errors
    /// As [`PatchGan::forward`].
    pub fn logits(&self, images: &Tensor) -> Result<Tensor, LossError> {
        self.discriminator.forward(images, true)
    }

    /// The loss on real images and on reconstructions whose logits are known already.
    ///
    /// # Errors
    /// As [`PatchGan::forward`].
    pub fn loss(&self, images: &Tensor, fake_logits: &Tensor, step: u64) -> Result<DiscriminatorLoss, LossError> {
        let real_logits = self.logits(images)?;
        let mut total = self.config.loss.discriminator(&real_logits, fake_logits);
        if let Some(lecam) = &self.lecam {
            total += lecam.loss(&real_logits, fake_logits) * self.config.lecam_weight;
        }
        if self.config.r1_weight > 0.0 && step.is_multiple_of(self.config.r1_every) {
            total += r1(|images| self.logits(images), images)? * (self.config.r1_weight * self.config.r1_every as f64);
        }
        Ok(DiscriminatorLoss { total, real_logits: real_logits.detach().to_kind(Kind::Float) })
    }

    /// Updates LeCam's averages with the logits of a whole step; only the training loop calls it.
    pub fn update(&mut self, real_logits: &Tensor, fake_logits: &Tensor) {
        if let Some(lecam) = &mut self.lecam {
            lecam.update(real_logits, fake_logits);
        }
    }
}
