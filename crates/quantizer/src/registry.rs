//! Every quantizer by its name in a recipe; a new one is one line here. Below, the defaults and checks that members share.

use tch::{Device, nn};
use vqkit_torch::{attempt, memory};

use crate::{
    BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GumbelQuantizerConfig,
    IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, ProductQuantizerConfig, QuantizeError, Quantizer,
    ResidualQuantizerConfig, SimVectorQuantizerConfig, VectorQuantizerConfig,
};

vqkit_config::tagged! {
    /// `[tokenizer.quantizer]` of a recipe.
    pub enum QuantizerConfig {
        /// Codes trained by gradient.
        "vq" => Vq(VectorQuantizerConfig),
        /// Codes that are moving averages.
        "ema" => Ema(EmaVectorQuantizerConfig),
        /// Codes that are drawn in training.
        "gumbel" => Gumbel(GumbelQuantizerConfig),
        /// Frozen codes seen through one trained map.
        "simvq" => Sim(SimVectorQuantizerConfig),
        /// Codes that all learn from every position.
        "ibq" => IndexBackpropagation(IndexBackpropagationQuantizerConfig),
        /// Channels rounded to a few levels.
        "fsq" => FiniteScalar(FiniteScalarQuantizerConfig),
        /// Signs of channels.
        "lfq" => LookupFree(LookupFreeQuantizerConfig),
        /// Signs of channels, on the unit sphere.
        "bsq" => BinarySpherical(BinarySphericalQuantizerConfig),
        /// Levels, each of what those before it left over.
        "residual" => Residual(ResidualQuantizerConfig),
        /// Groups of channels, each by itself.
        "product" => Product(ProductQuantizerConfig),
    }
    macro each_quantizer;
}

impl QuantizerConfig {
    /// Makes the quantizer for latents of width `dim`, with its variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range; [`QuantizeError::Torch`] when there is less memory than its
    /// codes take.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        self.validate()?;
        let numbers = self.least_parameters(dim);
        if vs.device() == Device::Cpu {
            memory::check(&format!("codebooks of {numbers} numbers"), numbers.unsigned_abs().saturating_mul(4))?;
        }
        let build = || -> Result<Box<dyn Quantizer>, QuantizeError> {
            each_quantizer!(self, |config| Ok(Box::new(config.build(vs, dim)?)))
        };
        attempt("the codebooks", build)
    }

    /// A number of parameters that it has at least for latents of width `dim`: those of its tables of codes. Nothing is built.
    pub fn least_parameters(&self, dim: i64) -> i64 {
        let dim = dim.max(1);
        match self {
            Self::Vq(VectorQuantizerConfig { codebook_size, .. })
            | Self::Ema(EmaVectorQuantizerConfig { codebook_size, .. })
            | Self::IndexBackpropagation(IndexBackpropagationQuantizerConfig { codebook_size, .. })
            | Self::Gumbel(GumbelQuantizerConfig { codebook_size, .. }) => codebook_size.saturating_mul(dim),
            Self::Sim(SimVectorQuantizerConfig { codebook_size, frozen_codebook_dim, .. }) => {
                codebook_size.saturating_mul(frozen_codebook_dim.unwrap_or(dim))
            }
            Self::FiniteScalar(_) | Self::LookupFree(_) | Self::BinarySpherical(_) => 0,
            Self::Residual(ResidualQuantizerConfig { num_quantizers, quantizer, .. }) => {
                num_quantizers.saturating_mul(quantizer.least_parameters(dim))
            }
            Self::Product(ProductQuantizerConfig { groups, codebook_dim, quantizer, .. }) => {
                let width = codebook_dim.unwrap_or(dim / (*groups).max(1));
                groups.saturating_mul(quantizer.least_parameters(width))
            }
        }
    }

    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        each_quantizer!(self, |config| config.validate())
    }
}

pub(crate) fn binary_entropy_weight() -> f64 {
    0.1
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

pub(crate) fn inv_temperature() -> f64 {
    100.0
}

pub(crate) fn kmeans_init() -> bool {
    true
}

pub(crate) fn one() -> f64 {
    1.0
}

pub(crate) fn revive_after() -> u64 {
    100
}

/// The most codes of a codebook: f32 counts up to here.
pub(crate) const MOST_CODES: i64 = 1 << 24;

/// A share of something, none to all.
pub(crate) fn check_share(field: &'static str, share: f64) -> Result<(), QuantizeError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(QuantizeError::Config { field, reason: format!("{share} must be at least 0 and at most 1") })
}

pub(crate) fn check_codebook(size: i64) -> Result<(), QuantizeError> {
    if (2..=MOST_CODES).contains(&size) {
        return Ok(());
    }
    let reason = format!("{size} codes; it takes at least 2 and at most {MOST_CODES}");
    Err(QuantizeError::Config { field: "codebook_size", reason })
}

pub(crate) fn check_weight(field: &'static str, weight: f64) -> Result<(), QuantizeError> {
    if weight >= 0.0 && weight.is_finite() {
        return Ok(());
    }
    Err(QuantizeError::Config { field, reason: format!("{weight} must be at least 0 and finite") })
}

/// Wider codes are a typing error.
const MOST_CHANNELS: i64 = 1 << 14;

/// A width of codes that may be left to the latents.
pub(crate) fn check_width(field: &'static str, width: Option<i64>) -> Result<(), QuantizeError> {
    match width {
        Some(width) if !(1..=MOST_CHANNELS).contains(&width) => {
            let reason = format!("{width} must be at least 1 and at most {MOST_CHANNELS}");
            Err(QuantizeError::Config { field, reason })
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_dim(dim: i64) -> Result<(), QuantizeError> {
    if dim > 0 {
        return Ok(());
    }
    Err(QuantizeError::Config { field: "dim", reason: format!("latents of width {dim}; it takes at least 1") })
}
