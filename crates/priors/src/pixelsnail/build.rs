//! From parameters of PixelSNAIL to the prior.

use tch::nn;

use super::config::PixelSnailConfig;
use super::cost::cost;
use super::model::PixelSnail;
use super::network::Network;
use crate::autoregressive::Abilities;
use crate::classes::Classes;
use crate::limits::{MOST_CHANNELS, MOST_KERNEL, MOST_LAYERS, check_size, probability};
use crate::{BuildPrior, ConditionNames, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

impl PixelSnailConfig {
    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<PixelSnail, PriorError> {
        self.check(spec)?;
        let classes = Classes::of(spec, self.class_dropout);
        Ok(PixelSnail::new(Network::new(self, vs, spec), classes, spec))
    }

    fn validate_heads(&self) -> Result<(), PriorError> {
        let (channel, heads) = (self.channel, self.n_head);
        if self.attention && (channel % 2 != 0 || (channel / 2) % heads != 0) {
            let reason = format!("must be a multiple of 2 · n_head, {heads} heads, with attention, got {channel}");
            return Err(PriorError::config("channel", reason));
        }
        Ok(())
    }
}

impl BuildPrior for PixelSnailConfig {
    fn validate(&self) -> Result<(), PriorError> {
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
        probability("dropout", self.dropout)?;
        probability("class_dropout", self.class_dropout)?;
        self.validate_heads()
    }

    fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.check_convolutional("pixelsnail", self.class_dropout)?;
        for (field, value) in [("n_cond_res_block", self.n_cond_res_block), ("cond_res_channel", self.cond_res_channel)]
        {
            if value < 1 && !spec.condition_grids.is_empty() {
                let reason = format!("must be at least 1 for a prior with condition grids, got {value}");
                return Err(PriorError::config(field, reason));
            }
        }
        Ok(())
    }

    fn check_sampling(&self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError> {
        let abilities = Abilities { has_null: self.class_dropout > 0.0, dtypes: &[WeightDtype::Fp32] };
        abilities.check(sampling, dtype, spec)
    }

    fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.check(spec)?;
        Ok(cost(self, spec))
    }

    fn build_boxed(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError> {
        Ok(Box::new(self.build(vs, spec)?))
    }

    fn condition_names(&self) -> ConditionNames {
        ConditionNames {
            class_tables: &["class_embedding"],
            conditions: &["class_embedding", "condition", "cond_resnet", "cond_resnets"],
        }
    }
}
