//! Defaults and checks that the configurations of several quantizers share.

use crate::QuantizeError;

pub(crate) fn binary_entropy_weight() -> f64 {
    0.1
}

pub(crate) fn codebook_weight() -> f64 {
    1.0
}

pub(crate) fn commitment_weight() -> f64 {
    0.25
}

pub(crate) fn decay() -> f64 {
    0.99
}

pub(crate) fn entropy_temperature() -> f64 {
    0.01
}

pub(crate) fn eps() -> f64 {
    1e-5
}

pub(crate) fn inv_temperature() -> f64 {
    100.0
}

pub(crate) fn kmeans_init() -> bool {
    true
}

pub(crate) fn one() -> f64 {
    1.0
}

pub(crate) fn revive_after() -> u64 {
    100
}

/// Largest number of codes in a codebook: f32 represents all integers up to here.
pub(crate) const MOST_CODES: i64 = 1 << 24;

/// Checks a share, 0 to 1.
pub(crate) fn check_share(field: &'static str, share: f64) -> Result<(), QuantizeError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(QuantizeError::Config { field, reason: format!("{share} must be at least 0 and at most 1") })
}

pub(crate) fn check_codebook(size: i64) -> Result<(), QuantizeError> {
    if (2..=MOST_CODES).contains(&size) {
        return Ok(());
    }
    let reason = format!("{size} codes; it takes at least 2 and at most {MOST_CODES}");
    Err(QuantizeError::Config { field: "codebook_size", reason })
}

pub(crate) fn check_weight(field: &'static str, weight: f64) -> Result<(), QuantizeError> {
    if weight >= 0.0 && weight.is_finite() {
        return Ok(());
    }
    Err(QuantizeError::Config { field, reason: format!("{weight} must be at least 0 and finite") })
}

/// Wider codes are taken for a typing error.
const MOST_CHANNELS: i64 = 1 << 14;

/// Checks a width of codes; `None` means that of the latents.
pub(crate) fn check_width(field: &'static str, width: Option<i64>) -> Result<(), QuantizeError> {
    match width {
        Some(width) if !(1..=MOST_CHANNELS).contains(&width) => {
            let reason = format!("{width} must be at least 1 and at most {MOST_CHANNELS}");
            Err(QuantizeError::Config { field, reason })
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_dim(dim: i64) -> Result<(), QuantizeError> {
    if dim > 0 {
        return Ok(());
    }
    Err(QuantizeError::Config { field: "dim", reason: format!("latents of width {dim}; it takes at least 1") })
}
