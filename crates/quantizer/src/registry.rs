//! Every quantizer by its name in a recipe; a new one is one line here. Below, the defaults and checks that members share.

use tch::nn;

use crate::{EmaVectorQuantizerConfig, GumbelQuantizerConfig, QuantizeError, Quantizer, VectorQuantizerConfig};

vqkit_config::tagged! {
    /// `[tokenizer.quantizer]` of a recipe.
    pub enum QuantizerConfig {
        /// Codes trained by gradient.
        "vq" => Vq(VectorQuantizerConfig),
        /// Codes that are moving averages.
        "ema" => Ema(EmaVectorQuantizerConfig),
        /// Codes that are drawn in training.
        "gumbel" => Gumbel(GumbelQuantizerConfig),
    }
    macro each_quantizer;
}

impl QuantizerConfig {
    /// Makes the quantizer for latents of width `dim`, with its variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        each_quantizer!(self, |config| Ok(Box::new(config.build(vs, dim)?)))
    }

    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        each_quantizer!(self, |config| config.validate())
    }
}

pub(crate) fn codebook_weight() -> f64 {
    1.0
}

pub(crate) fn commitment_weight() -> f64 {
    0.25
}

pub(crate) fn decay() -> f64 {
    0.99
}

pub(crate) fn entropy_temperature() -> f64 {
    0.01
}

pub(crate) fn eps() -> f64 {
    1e-5
}

pub(crate) fn kmeans_init() -> bool {
    true
}

pub(crate) fn revive_after() -> u64 {
    100
}

/// Token files hold indices in at most 32 bits.
pub(crate) fn check_codebook(size: i64) -> Result<(), QuantizeError> {
    if (2..=1 << 24).contains(&size) {
        return Ok(());
    }
    let reason = format!("{size} codes; it takes at least 2 and at most {}", 1 << 24);
    Err(QuantizeError::Config { field: "codebook_size", reason })
}

pub(crate) fn check_weight(field: &'static str, weight: f64) -> Result<(), QuantizeError> {
    if weight >= 0.0 && weight.is_finite() {
        return Ok(());
    }
    Err(QuantizeError::Config { field, reason: format!("{weight} must be at least 0 and finite") })
}

pub(crate) fn check_dim(dim: i64) -> Result<(), QuantizeError> {
    if dim > 0 {
        return Ok(());
    }
    Err(QuantizeError::Config { field: "dim", reason: format!("latents of width {dim}; it takes at least 1") })
}
