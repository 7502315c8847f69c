//! Which levels of a tokenizer each prior of a recipe predicts.

use crate::PriorError;

/// Checks that the levels that one prior `predicts` follow those of the priors before it; returns the level at which
/// the next prior starts.
///
/// Priors are in the order coarse to fine, and each is conditioned on all coarser levels. So the first prior starts
/// with level 0, the next with the following level, and a prior of several levels predicts them one after the other.
/// Fold over the priors of a recipe; every level has its prior when the last result is `num_levels`.
///
/// ```
/// use vqkit_priors::check_predicts;
///
/// let next = check_predicts(&[0], 0, 3)?;
/// assert_eq!(check_predicts(&[1, 2], next, 3)?, 3);
/// assert!(check_predicts(&[2], next, 3).is_err());
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
///
/// # Errors
/// [`PriorError::Config`] of the field `predicts` for no level, a level that the tokenizer does not have, or one that is out of order.
pub fn check_predicts(predicts: &[usize], first: usize, num_levels: usize) -> Result<usize, PriorError> {
    let refuse = |reason: String| Err(PriorError::config("predicts", reason));
    if predicts.is_empty() {
        return refuse("needs at least one level".into());
    }
    if let Some(level) = predicts.iter().find(|level| **level >= num_levels) {
        return refuse(format!("level {level} is not one of the tokenizer's {num_levels} levels, 0..{num_levels}"));
    }
    let next = first + predicts.len();
    match predicts.iter().copied().eq(first..next) {
        true => Ok(next),
        false => refuse(format!(
            "levels are predicted in order, each by one prior: this one must start with level {first} and count up by one, got \
             {predicts:?}"
        )),
    }
}
