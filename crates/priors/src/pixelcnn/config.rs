//! The parameters of Gated PixelCNN.

use serde::{Deserialize, Serialize};
use tch::nn;

use super::GatedPixelCnn;
use crate::cost::{MOST_CHANNELS, MOST_KERNEL, MOST_LAYERS, check_size};
use crate::{PriorError, PriorSpec, SamplingWeights};

/// Parameters of [`GatedPixelCnn`]; defaults are those of ritheshkumar95/pytorch-vqvae.
///
/// ```
/// use vqkit_priors::GatedPixelCnnConfig;
///
/// let config = GatedPixelCnnConfig::new(64, 15);
/// assert_eq!((config.first_kernel_size, config.kernel_size), (7, 3));
/// assert!(GatedPixelCnnConfig { kernel_size: 4, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatedPixelCnnConfig {
    /// Width `D` of both stacks.
    pub dim: i64,
    /// Number of layers.
    pub num_layers: i64,
    /// Kernel of the first layer, odd and at least 3. Default 7.
    #[serde(default = "seven")]
    pub first_kernel_size: i64,
    /// Kernel of all other layers, odd and at least 3. Default 3.
    #[serde(default = "three")]
    pub kernel_size: i64,
    /// Width of the hidden layer of the head. Default 512.
    #[serde(default = "head_width")]
    pub head_width: i64,
    /// Probability with which a gated unit of the horizontal stack is dropped in training. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// Probability with which a label is replaced by the null class in training; above 0 there is a null class, and
    /// guidance is possible. Default 0.
    #[serde(default)]
    pub class_dropout: f64,
    /// Residual blocks on each condition grid. Default 2.
    #[serde(default = "two")]
    pub condition_blocks: i64,
}

fn seven() -> i64 {
    7
}

fn three() -> i64 {
    3
}

fn two() -> i64 {
    2
}

fn head_width() -> i64 {
    512
}

impl GatedPixelCnnConfig {
    /// Width and depth, all else at its default.
    pub fn new(dim: i64, num_layers: i64) -> Self {
        Self {
            dim,
            num_layers,
            first_kernel_size: seven(),
            kernel_size: three(),
            head_width: head_width(),
            dropout: 0.0,
            class_dropout: 0.0,
            condition_blocks: two(),
        }
    }

    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        check_size("dim", self.dim, 1, MOST_CHANNELS)?;
        check_size("num_layers", self.num_layers, 1, MOST_LAYERS)?;
        check_size("head_width", self.head_width, 1, MOST_CHANNELS)?;
        check_size("condition_blocks", self.condition_blocks, 0, MOST_LAYERS)?;
        for (field, value) in [("first_kernel_size", self.first_kernel_size), ("kernel_size", self.kernel_size)] {
            check_size(field, value, i64::MIN, MOST_KERNEL)?;
            if value < 3 || value % 2 == 0 {
                return Err(PriorError::config(field, format!("must be odd and at least 3, got {value}")));
            }
        }
        for (field, value) in [("dropout", self.dropout), ("class_dropout", self.class_dropout)] {
            if !(0.0..1.0).contains(&value) {
                return Err(PriorError::config(field, format!("must lie in [0, 1), got {value}")));
            }
        }
        Ok(())
    }

    /// Whether such a prior can model `spec`; allocates nothing.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, for a `spec` of several codebooks, and for `class_dropout`
    /// without classes.
    pub fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.validate()?;
        if spec.sizes.len() != 1 {
            let reason = format!("`pixelcnn` models grids with one codebook, these tokens have {}", spec.sizes.len());
            return Err(PriorError::config("type", reason));
        }
        spec.refuse_sequences("pixelcnn")?;
        if self.has_null() && spec.num_classes.is_none() {
            return Err(PriorError::config("class_dropout", "needs a class condition to drop; set it to 0"));
        }
        Ok(())
    }

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`GatedPixelCnnConfig::check`].
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<GatedPixelCnn, PriorError> {
        self.check(spec)?;
        Ok(GatedPixelCnn::new(self, vs, spec))
    }

    /// Whether what it builds has a null condition.
    pub(crate) fn has_null(&self) -> bool {
        self.class_dropout > 0.0
    }

    /// Whether what it builds can be sampled with such weights.
    pub(crate) fn has_weights(&self, weights: SamplingWeights) -> bool {
        weights == SamplingWeights::Fp32
    }
}
