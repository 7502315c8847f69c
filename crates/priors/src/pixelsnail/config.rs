//! The parameters of PixelSNAIL.

use serde::{Deserialize, Serialize};
use tch::nn;

use super::PixelSnail;
use crate::cost::{MOST_CHANNELS, MOST_KERNEL, MOST_LAYERS, check_size};
use crate::{PriorError, PriorSpec, SamplingWeights};

/// Parameters of [`PixelSnail`]; names and defaults are those of rosinality/vq-vae-2-pytorch.
///
/// ```
/// use vqkit_priors::PixelSnailConfig;
///
/// let config = PixelSnailConfig::new(256, 5, 4, 4, 256);
/// assert_eq!((config.attention, config.n_head, config.dropout), (true, 8, 0.1));
/// assert!(PixelSnailConfig { kernel_size: 4, ..config }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        let sizes = [
            ("channel", self.channel, 1, MOST_CHANNELS),
            ("n_block", self.n_block, 1, MOST_LAYERS),
            ("n_res_block", self.n_res_block, 1, MOST_LAYERS),
            ("res_channel", self.res_channel, 1, MOST_CHANNELS),
            ("n_head", self.n_head, 1, MOST_CHANNELS),
            ("n_cond_res_block", self.n_cond_res_block, 0, MOST_LAYERS),
            ("cond_res_channel", self.cond_res_channel, 0, MOST_CHANNELS),
            ("n_out_res_block", self.n_out_res_block, 0, MOST_LAYERS),
        ];
        for (field, value, least, most) in sizes {
            check_size(field, value, least, most)?;
        }
        let kernels = [("kernel_size", self.kernel_size, 3), ("cond_res_kernel", self.cond_res_kernel, 1)];
        for (field, value, least) in kernels {
            if value < least || value % 2 == 0 {
                return Err(PriorError::config(field, format!("must be odd and at least {least}, got {value}")));
            }
            check_size(field, value, least, MOST_KERNEL)?;
        }
        for (field, value) in [("dropout", self.dropout), ("class_dropout", self.class_dropout)] {
            if !(0.0..1.0).contains(&value) {
                return Err(PriorError::config(field, format!("must lie in [0, 1), got {value}")));
            }
        }
        self.validate_heads()
    }

    fn validate_heads(&self) -> Result<(), PriorError> {
        let (channel, heads) = (self.channel, self.n_head);
        if self.attention && (channel % 2 != 0 || (channel / 2) % heads != 0) {
            let reason = format!("must be a multiple of 2 · n_head, {heads} heads, with attention, got {channel}");
            return Err(PriorError::config("channel", reason));
        }
        Ok(())
    }

    /// Whether the prior can be built for `spec`, without building it.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, for a `spec` of several codebooks or with an embedding, for
    /// condition grids without a network for them, and for `class_dropout` without classes.
    pub fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.validate()?;
        if spec.sizes.len() != 1 {
            let reason = format!("`pixelsnail` models grids with one codebook, these tokens have {}", spec.sizes.len());
            return Err(PriorError::config("type", reason));
        }
        spec.refuse_sequences("pixelsnail")?;
        if self.has_null() && spec.num_classes.is_none() {
            return Err(PriorError::config("class_dropout", "needs a class condition to drop; set it to 0"));
        }
        for (field, value) in [("n_cond_res_block", self.n_cond_res_block), ("cond_res_channel", self.cond_res_channel)]
        {
            if value < 1 && !spec.condition_grids.is_empty() {
                let reason = format!("must be at least 1 for a prior with condition grids, got {value}");
                return Err(PriorError::config(field, reason));
            }
        }
        Ok(())
    }

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<PixelSnail, PriorError> {
        self.check(spec)?;
        Ok(PixelSnail::new(self, vs, spec))
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
