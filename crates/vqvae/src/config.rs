//! The defaults and checks that the tokenizers' configurations share.

use crate::TokenizerError;

/// More channels or blocks than this are a typing error.
const MOST: i64 = 1 << 14;

pub(crate) fn downsampling() -> i64 {
    4
}

pub(crate) fn residual_blocks() -> i64 {
    2
}

pub(crate) fn vqvae2_channels() -> i64 {
    128
}

pub(crate) fn vqvae2_residual_channels() -> i64 {
    32
}

pub(crate) fn vqvae2_embed_dim() -> i64 {
    64
}

pub(crate) fn check_channels(field: &'static str, channels: i64) -> Result<(), TokenizerError> {
    check_range(field, channels, 1)
}

pub(crate) fn check_channels_in(channels: i64) -> Result<(), TokenizerError> {
    check_range("in_channels", channels, 1)
}

pub(crate) fn check_count(field: &'static str, count: i64) -> Result<(), TokenizerError> {
    check_range(field, count, 0)
}

pub(crate) fn check_downsampling(factor: i64) -> Result<(), TokenizerError> {
    if (2..=64).contains(&factor) && factor.count_ones() == 1 {
        return Ok(());
    }
    let reason = format!("{factor} must be one of 2, 4, 8, 16, 32, 64");
    Err(TokenizerError::Config { field: "downsampling", reason })
}

/// Refuses what is below `least` or beyond any use.
pub(crate) fn check_range(field: &'static str, value: i64, least: i64) -> Result<(), TokenizerError> {
    if (least..=MOST).contains(&value) {
        return Ok(());
    }
    Err(TokenizerError::Config { field, reason: format!("{value} must be at least {least} and at most {MOST}") })
}
