//! The values that configurations may have. Larger sizes are typing errors, and what is counted of them would overflow.

use crate::PriorError;

/// The most positions of a grid, a text or an embedding.
pub(crate) const MOST_POSITIONS: i64 = 1 << 24;
/// The most codes of a codebook, ids of a vocabulary and classes: what 32 bits tell apart.
pub(crate) const MOST_CODES: i64 = 1 << 32;
/// The most codebooks of a grid, and grids of a prior.
pub(crate) const MOST_BOOKS: usize = 1 << 10;
/// The widest vector of an embedding.
pub(crate) const MOST_DIM: i64 = 1 << 16;
/// The most layers of a network.
pub(crate) const MOST_LAYERS: i64 = 1 << 12;
/// The most channels of a layer.
pub(crate) const MOST_CHANNELS: i64 = 1 << 16;
/// The longest side of a kernel.
pub(crate) const MOST_KERNEL: i64 = 1 << 6;

/// Whether a size of a network lies in `least..=most`.
pub(crate) fn check_size(field: &'static str, value: i64, least: i64, most: i64) -> Result<(), PriorError> {
    match value {
        value if value < least => Err(PriorError::config(field, format!("must be at least {least}, got {value}"))),
        value if value > most => Err(PriorError::config(field, format!("must be at most {most}, got {value}"))),
        _ => Ok(()),
    }
}

/// Whether a probability of dropping something lies in `[0, 1)`.
pub(crate) fn probability(field: &'static str, value: f64) -> Result<(), PriorError> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(PriorError::config(field, format!("must lie in [0, 1), got {value}"))),
    }
}
