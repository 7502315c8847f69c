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
    Err(refuse("downsampling", format!("{factor} must be one of 2, 4, 8, 16, 32, 64")))
}

/// Refuses what is below `least` or beyond any use.
pub(crate) fn check_range(field: &'static str, value: i64, least: i64) -> Result<(), TokenizerError> {
    if (least..=MOST).contains(&value) {
        return Ok(());
    }
    Err(refuse(field, format!("{value} must be at least {least} and at most {MOST}")))
}

/// Channels of levels that are `factors` times as wide as `base`.
pub(crate) fn scaled(base: i64, factors: &[i64]) -> Vec<i64> {
    factors.iter().map(|factor| base.saturating_mul(*factor)).collect()
}

/// Checks the widths of levels in units of `base`: 1 to 16 levels.
pub(crate) fn check_factors(field: &'static str, base: i64, factors: &[i64]) -> Result<(), TokenizerError> {
    if !(1..=16).contains(&factors.len()) {
        return Err(refuse(field, format!("{} levels; it takes 1 to 16", factors.len())));
    }
    factors.iter().try_for_each(|factor| check_range(field, *factor, 1))?;
    scaled(base, factors).into_iter().try_for_each(|width| check_channels(field, width))
}

/// Checks channels that group normalisations divide into `groups`.
pub(crate) fn check_groups(field: &'static str, channels: i64, groups: i64) -> Result<(), TokenizerError> {
    check_channels(field, channels)?;
    if channels % groups == 0 {
        return Ok(());
    }
    let reason = format!("{channels} must be a multiple of {groups}, the number of groups of a normalisation");
    Err(refuse(field, reason))
}

/// Checks that the channels that a recipe asks for, where it does, are those of the images.
pub(crate) fn check_images(field: &'static str, wanted: Option<i64>, channels: i64) -> Result<(), TokenizerError> {
    check_channels(field, channels)?;
    match wanted {
        Some(wanted) if wanted != channels => {
            Err(refuse(field, format!("{wanted}, but the images have {channels} channels")))
        }
        _ => Ok(()),
    }
}

/// Checks the side of images that a network is meant for, where it is given.
pub(crate) fn check_resolution(resolution: Option<i64>, stride: i64) -> Result<(), TokenizerError> {
    let Some(side) = resolution else { return Ok(()) };
    check_range("resolution", side, 1)?;
    if side % stride == 0 {
        return Ok(());
    }
    Err(refuse("resolution", format!("{side} must be a multiple of {stride}, the downsampling")))
}

pub(crate) fn check_dropout(rate: f64) -> Result<(), TokenizerError> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(refuse("dropout", format!("{rate} must be at least 0 and below 1")))
}

/// Checks upstream's `double_z`.
pub(crate) fn check_one_vector(double_z: bool) -> Result<(), TokenizerError> {
    if !double_z {
        return Ok(());
    }
    Err(refuse("double_z", "must be false: a quantizer takes one vector per position".into()))
}

pub(crate) fn refuse(field: &'static str, reason: String) -> TokenizerError {
    TokenizerError::Config { field, reason }
}
