//! The interface of a prior's configuration.

use tch::nn;

use crate::{Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

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
}
