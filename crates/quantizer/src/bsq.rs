//! Binary spherical quantization (Zhao et al. 2024, "Image and Video Tokenization with Binary Spherical Quantization").

use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{LookupFreeQuantizer, LookupFreeQuantizerConfig, QuantizeError};

/// `type = "bsq"`: latents are brought to length 1, and every channel becomes `±1/sqrt(log2(K))`, so that codes have length 1
/// too. Keys and loss are those of [`LookupFreeQuantizerConfig`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BinarySphericalQuantizerConfig(
    /// The keys.
    pub LookupFreeQuantizerConfig,
);

impl BinarySphericalQuantizerConfig {
    /// `codebook_size` codes, and everything else by default.
    pub fn new(codebook_size: i64) -> Self {
        Self(LookupFreeQuantizerConfig::new(codebook_size))
    }

    /// Looks at every value.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), QuantizeError> {
        self.0.validate()
    }

    /// Makes the quantizer for latents of width `dim`. Where that is not the number of channels, linear maps lead there and
    /// back, with their variables at `vs`.
    ///
    /// # Errors
    /// As [`BinarySphericalQuantizerConfig::validate`], and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<LookupFreeQuantizer, QuantizeError> {
        self.0.build_on(vs, dim, true)
    }
}
