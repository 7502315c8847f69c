//! The trait of all schedules.

use crate::TorchError;

/// What a member of [`Schedule`](super::Schedule) provides.
pub(crate) trait Factor {
    /// The factor for optimizer step `step`, counted from 0, of a training of `steps` steps.
    fn factor(&self, step: u64, steps: u64) -> f64;

    /// Refuses settings that make no sense for a training of `steps` steps.
    fn validate(&self, _steps: u64) -> Result<(), TorchError> {
        Ok(())
    }
}
