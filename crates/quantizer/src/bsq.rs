//! Binary spherical quantization (Zhao et al. 2024, "Image and Video Tokenization with Binary Spherical Quantization").

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::member::{Assignment, Member};
use crate::{LookupFreeQuantizer, LookupFreeQuantizerConfig, QuantizeError, Quantizer};

/// `type = "bsq"`: latents are normalised to length 1, and every channel becomes `±1/sqrt(log2(K))`, so that codes have
/// length 1 too. Keys and loss are those of [`LookupFreeQuantizerConfig`].
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{BinarySphericalQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let quantizer = BinarySphericalQuantizerConfig::new(1 << 8).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Eval)?;
/// let lengths = quantized.codes.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
/// assert!(lengths.allclose(&lengths.ones_like(), 1e-5, 1e-5, false));
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BinarySphericalQuantizerConfig(
    /// The keys.
    pub LookupFreeQuantizerConfig,
);

/// The keys are in the section itself, so they are inlined; the derived schema would refer to another definition.
impl JsonSchema for BinarySphericalQuantizerConfig {
    fn schema_name() -> Cow<'static, str> {
        "BinarySphericalQuantizerConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        LookupFreeQuantizerConfig::json_schema(generator)
    }
}

impl BinarySphericalQuantizerConfig {
    /// `codebook_size` codes, and the default of every other key.
    pub fn new(codebook_size: i64) -> Self {
        Self(LookupFreeQuantizerConfig::new(codebook_size))
    }

    /// Creates the quantizer for latents of width `dim`. Where that differs from the number of channels, linear maps
    /// project to the channels and back, with their variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<LookupFreeQuantizer, QuantizeError> {
        self.0.build_on(vs, dim, true)
    }
}

impl Member for BinarySphericalQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        self.0.validate()
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, _dim: i64) -> i64 {
        0
    }

    fn assignment(&self) -> Assignment {
        self.0.assignment()
    }

    fn commitment_weight(&self) -> Option<f64> {
        self.0.commitment_weight()
    }

    fn entropy_weight(&self) -> Option<f64> {
        self.0.entropy_weight()
    }
}
