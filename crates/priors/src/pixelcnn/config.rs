//! The parameters of Gated PixelCNN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of [`GatedPixelCnn`](super::GatedPixelCnn); defaults are those of ritheshkumar95/pytorch-vqvae.
///
/// ```
/// use vqkit_priors::{BuildPrior, GatedPixelCnnConfig};
///
/// let config = GatedPixelCnnConfig::new(64, 15);
/// assert_eq!((config.first_kernel_size, config.kernel_size), (7, 3));
/// assert!(GatedPixelCnnConfig { kernel_size: 4, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatedPixelCnnConfig {
    /// Width `D` of the vertical and the horizontal stack.
    pub dim: i64,
    /// Number of layers.
    pub num_layers: i64,
    /// Kernel size of the first layer, odd and at least 3. Default 7.
    #[serde(default = "seven")]
    pub first_kernel_size: i64,
    /// Kernel size of all other layers, odd and at least 3. Default 3.
    #[serde(default = "three")]
    pub kernel_size: i64,
    /// Width of the hidden layer of the output head. Default 512.
    #[serde(default = "head_width")]
    pub head_width: i64,
    /// Dropout rate of the gated units of the horizontal stack. Default 0.
    #[serde(default)]
    pub dropout: f64,
    /// Probability with which the class is replaced by a null class in training. Classifier-free guidance needs a value
    /// above 0. Default 0.
    #[serde(default)]
    pub class_dropout: f64,
    /// Number of residual blocks that process each condition grid. Default 2.
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
    /// Width and depth, and the default of every other key.
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
}
