//! From parameters of Gated PixelCNN to the prior.

use tch::nn;

use super::config::GatedPixelCnnConfig;
use super::cost::cost;
use super::model::GatedPixelCnn;
use super::network::Network;
use crate::autoregressive::Abilities;
use crate::classes::Classes;
use crate::limits::{MOST_CHANNELS, MOST_KERNEL, MOST_LAYERS, check_size, probability};
use crate::{BuildPrior, ConditionNames, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

impl GatedPixelCnnConfig {
    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<GatedPixelCnn, PriorError> {
        self.check(spec)?;
        let classes = Classes::of(spec, self.class_dropout);
        Ok(GatedPixelCnn::new(Network::new(self, vs, spec), classes, spec))
    }
}

impl BuildPrior for GatedPixelCnnConfig {
    fn validate(&self) -> Result<(), PriorError> {
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
        probability("dropout", self.dropout)?;
        probability("class_dropout", self.class_dropout)
    }

    fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.validate()?;
        spec.check_convolutional("pixelcnn", self.class_dropout)
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
            class_tables: &["class_cond_embedding"],
            conditions: &["class_cond_embedding", "condition", "conditions"],
        }
    }
}
