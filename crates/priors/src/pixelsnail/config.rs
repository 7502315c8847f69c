//! The parameters of PixelSNAIL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of [`PixelSnail`](super::PixelSnail); names and defaults are those of rosinality/vq-vae-2-pytorch.
///
/// ```
/// use vqkit_priors::{BuildPrior, PixelSnailConfig};
///
/// let config = PixelSnailConfig::new(256, 5, 4, 4, 256);
/// assert_eq!((config.attention, config.n_head, config.dropout), (true, 8, 0.1));
/// assert!(PixelSnailConfig { kernel_size: 4, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PixelSnailConfig {
    /// Width `C` of the network; with attention a multiple of `2 · n_head`, since the heads share `C / 2` channels.
    pub channel: i64,
    /// Kernel size of the causal convolutions, odd and at least 3.
    pub kernel_size: i64,
    /// Number of blocks; each has causal residual blocks, followed by attention or a 1 × 1 convolution.
    pub n_block: i64,
    /// Number of causal residual blocks per block, at least 1.
    pub n_res_block: i64,
    /// Number of channels inside the causal residual blocks.
    pub res_channel: i64,
    /// Whether each block ends with attention to all earlier positions. Default true.
    #[serde(default = "yes")]
    pub attention: bool,
    /// Number of attention heads, which upstream fixes. Default 8.
    #[serde(default = "eight")]
    pub n_head: i64,
    /// Dropout rate of hidden units and attention weights. Default 0.1.
    #[serde(default = "tenth")]
    pub dropout: f64,
    /// Number of residual blocks that process a condition grid; at least 1 where there is such a grid. Default 0.
    #[serde(default)]
    pub n_cond_res_block: i64,
    /// Width of the network that processes a condition grid; at least 1 where there is such a grid. Default 0.
    #[serde(default)]
    pub cond_res_channel: i64,
    /// Kernel size of the network that processes a condition grid, odd. Default 3.
    #[serde(default = "three")]
    pub cond_res_kernel: i64,
    /// Number of residual blocks of the output head. Default 0.
    #[serde(default)]
    pub n_out_res_block: i64,
    /// Probability with which the class is replaced by a null class in training. Classifier-free guidance needs a value
    /// above 0. Default 0.
    #[serde(default)]
    pub class_dropout: f64,
}

fn yes() -> bool {
    true
}

fn eight() -> i64 {
    8
}

fn tenth() -> f64 {
    0.1
}

fn three() -> i64 {
    3
}

impl PixelSnailConfig {
    /// The required keys, and the default of every other key.
    pub fn new(channel: i64, kernel_size: i64, n_block: i64, n_res_block: i64, res_channel: i64) -> Self {
        Self {
            channel,
            kernel_size,
            n_block,
            n_res_block,
            res_channel,
            attention: yes(),
            n_head: eight(),
            dropout: tenth(),
            n_cond_res_block: 0,
            cond_res_channel: 0,
            cond_res_kernel: three(),
            n_out_res_block: 0,
            class_dropout: 0.0,
        }
    }
}
