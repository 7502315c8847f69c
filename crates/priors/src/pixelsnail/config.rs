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
    /// Width `C` of the network; with attention a multiple of `2 · n_head`, since its heads share `C / 2` channels.
    pub channel: i64,
    /// Kernel of the causal convolutions, odd and at least 3.
    pub kernel_size: i64,
    /// Number of blocks: residual blocks each, then attention or a 1 × 1 convolution.
    pub n_block: i64,
    /// Causal residual blocks of each block, at least 1.
    pub n_res_block: i64,
    /// Width inside the causal residual blocks.
    pub res_channel: i64,
    /// Whether each block ends with attention to all earlier positions. Default true.
    #[serde(default = "yes")]
    pub attention: bool,
    /// Heads of the attention, which upstream fixes. Default 8.
    #[serde(default = "eight")]
    pub n_head: i64,
    /// Probability with which a hidden unit or a weight of attention is dropped in training. Default 0.1.
    #[serde(default = "tenth")]
    pub dropout: f64,
    /// Residual blocks on a condition grid; at least 1 where there is one. Default 0.
    #[serde(default)]
    pub n_cond_res_block: i64,
    /// Width of the network on a condition grid; at least 1 where there is one. Default 0.
    #[serde(default)]
    pub cond_res_channel: i64,
    /// Kernel of the network on a condition grid, odd. Default 3.
    #[serde(default = "three")]
    pub cond_res_kernel: i64,
    /// Residual blocks of the head. Default 0.
    #[serde(default)]
    pub n_out_res_block: i64,
    /// Probability with which a label is replaced by the null class in training; above 0 there is a null class, and
    /// guidance is possible. Default 0.
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
    /// What has no default, all else at its default.
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
