//! Bounds on the numbers of `[data]`, and defaults that hold without it.

use crate::DataError;

/// Default of `max_file_mb`.
pub(crate) const DEFAULT_MAX_FILE_MB: u64 = 256;

/// Default of `max_decoded_mb`.
pub(crate) const DEFAULT_MAX_DECODED_MB: u64 = 1024;

/// The most threads that decode.
pub(crate) const MAX_WORKERS: usize = 64;

/// The most batches that are decoded ahead.
pub(crate) const MAX_PREFETCH: usize = 64;

/// Refuses a number that is not 1 to `most`.
pub(crate) fn within(field: &'static str, found: u64, most: u64) -> Result<(), DataError> {
    match (1..=most).contains(&found) {
        true => Ok(()),
        false => Err(DataError::config(field, format!("must be 1 to {most}, found {found}"))),
    }
}
