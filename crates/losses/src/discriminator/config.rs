//! The settings of a PatchGAN discriminator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LossError;

/// More channels than this are taken for a typing error.
const MOST_CHANNELS: i64 = 1 << 14;
/// With this many halvings, an image of 3072 pixels has one patch.
const MOST_LAYERS: i64 = 10;

/// Normalisation in a discriminator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorNorm {
    /// Batch normalisation, the default of taming-transformers.
    #[default]
    Batch,
    /// ActNorm: a scale and a shift per channel, initialized from the first training batch (`use_actnorm` of
    /// taming-transformers).
    Actnorm,
    /// None, for batches or images that are too small for meaningful statistics.
    None,
}

/// How a [`PatchGan`](crate::PatchGan) is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PatchGanConfig {
    /// Channels after the first convolution; each halving doubles them, up to 8 times as many. Default 64.
    pub ndf: i64,
    /// Number of layers that halve the image, 1 to 10; with 3, the receptive field of a logit is 70 by 70 pixels.
    /// Default 3.
    pub n_layers: i64,
    /// Normalisation after all convolutions but the first and the last. Default `"batch"`.
    pub norm: DiscriminatorNorm,
}

impl Default for PatchGanConfig {
    fn default() -> Self {
        Self { ndf: 64, n_layers: 3, norm: DiscriminatorNorm::default() }
    }
}

impl PatchGanConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`LossError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), LossError> {
        check("ndf", self.ndf, MOST_CHANNELS)?;
        check("n_layers", self.n_layers, MOST_LAYERS)
    }

    /// The shortest side of an image that leaves one logit.
    pub fn least_size(&self) -> i64 {
        3 << self.n_layers.clamp(0, MOST_LAYERS)
    }

    /// Channels after `halvings` of the image.
    pub(super) fn width(&self, halvings: i64) -> i64 {
        self.ndf << halvings.min(3)
    }
}

pub(super) fn check_channels(channels: i64) -> Result<(), LossError> {
    check("in_channels", channels, MOST_CHANNELS)
}

fn check(field: &'static str, value: i64, most: i64) -> Result<(), LossError> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(LossError::Config { field, reason: format!("{value} must be at least 1 and at most {most}") })
}
