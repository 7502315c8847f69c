//! Whether an autoregressive prior can be sampled so, from its configuration alone.

use crate::{PriorError, PriorSpec, Sampling, WeightDtype};

/// What the configuration of an autoregressive prior says of how it can be sampled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// Whether there is a null condition.
    pub has_null: bool,
    /// The data types that its weights can have.
    pub dtypes: &'static [WeightDtype],
}

impl Abilities {
    /// Whether the prior can be sampled so; does not look at the size of a larger grid.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or that this prior has no means for.
    pub(crate) fn check(self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError> {
        let Sampling::Autoregressive(sampling) = sampling;
        sampling.validate()?;
        if sampling.needs_null(spec.positions()) && !self.has_null {
            let reason = "guidance needs a prior that is trained without its condition now and then: class_dropout or \
                          condition_dropout above 0; so does best_by";
            return Err(PriorError::config("cfg_scale", reason));
        }
        dtype.check(self.dtypes)
    }
}
