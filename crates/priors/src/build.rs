//! The interface of a prior's configuration.

use std::collections::BTreeMap;

use tch::{Tensor, nn};

use crate::{ConditionNames, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

/// What each member of [`PriorConfig`](crate::PriorConfig) does.
pub trait BuildPrior {
    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    fn validate(&self) -> Result<(), PriorError>;

    /// Whether the prior can be built for `spec`, without building it.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or a `spec` that this prior cannot model.
    fn check(&self, spec: &PriorSpec) -> Result<(), PriorError>;

    /// Whether the prior can be sampled so, without building it; does not look at the size of a larger grid.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or that this prior has no means for.
    fn check_sampling(&self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError>;

    /// The size of the prior, and its work and state per token, from the numbers alone.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError>;

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    fn build_boxed(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError>;

    /// The names of the variables that read the conditions, for fine-tuning; none, if a member does not say otherwise.
    fn condition_names(&self) -> ConditionNames {
        ConditionNames::default()
    }

    /// Fits the learned positions among the `weights` of a prior with this configuration that was built for `theirs` to
    /// a prior for `ours`, whose grids may have other sizes. By default there are none.
    ///
    /// # Errors
    /// [`PriorError::Config`] where positions cannot be fitted.
    fn fit_positions(
        &self,
        weights: &mut BTreeMap<String, Tensor>,
        theirs: &PriorSpec,
        ours: &PriorSpec,
    ) -> Result<(), PriorError> {
        let _ = (weights, theirs, ours);
        Ok(())
    }
}
