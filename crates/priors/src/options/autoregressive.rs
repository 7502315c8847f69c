//! The options of autoregressive priors: how each token is sampled from its logits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{best_by::BestBy, cfg_schedule::CfgSchedule};
use crate::PriorError;

/// The largest scale of guidance: ten thousand times any useful value, and far below the largest f32.
const MOST_CFG_SCALE: f64 = 1e5;

/// Largest number of candidates per sample; more are taken for a typing error.
const MOST_CANDIDATES: i64 = 1 << 16;
/// Largest side of a grid, in tokens: products of it do not overflow.
const MOST_SIDE: i64 = 1 << 16;

/// How an autoregressive prior samples each token from its logits. The options are applied in this order: guidance,
/// `no_repeat_ngram`, temperature, `top_k`, `top_p`, `min_p`.
///
/// ```
/// use vqkit_priors::{AutoregressiveSampling, CfgSchedule};
///
/// let sampling = AutoregressiveSampling { top_p: Some(0.9), cfg_schedule: CfgSchedule::Cosine, ..AutoregressiveSampling::default() };
/// assert!(sampling.validate().is_ok());
/// assert!(AutoregressiveSampling { temperature: -1.0, ..sampling }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AutoregressiveSampling {
    /// Divides the logits, 0 or more: below 1 favours likely tokens, 0 always takes the likeliest. Default 1.
    pub temperature: f64,
    /// Sample only from the `k` likeliest tokens, at least 1; a `k` above the vocabulary keeps all. Default: all.
    pub top_k: Option<i64>,
    /// Nucleus sampling: sample only from the likeliest tokens, as many as it takes for their probabilities to exceed
    /// `p`, `0 < p <= 1` (Holtzman et al. 2020). Default: all.
    pub top_p: Option<f64>,
    /// Sample only from tokens at least `p` times as probable as the likeliest, `0 <= p <= 1` (Nguyen et al. 2024).
    /// Default: all.
    pub min_p: Option<f64>,
    /// Scale of classifier-free guidance (Ho & Salimans 2022), 0 to 100000: the logits are `null + cfg_scale ·
    /// (conditional - null)`. Default 1: no guidance.
    pub cfg_scale: f64,
    /// How the scale of guidance changes over the tokens; `S` is `cfg_scale`, `p` the token's position among `N`.
    /// Default `"constant"`.
    pub cfg_schedule: CfgSchedule,
    /// Sample no token that would repeat an n-gram of this many tokens, at least 1, that the grid already has; where
    /// that bans all tokens, none is banned. Tokens are counted in the order in which they are sampled, codebooks
    /// innermost, and two n-grams are the same only if they end in the same codebook. For temperature 0, where samples
    /// otherwise fall into loops (Paulus et al. 2017; `no_repeat_ngram_size` of transformers). Default: tokens may
    /// repeat.
    pub no_repeat_ngram: Option<i64>,
    /// Generate this many grids for each sample and keep the best, the first of equal ones. The first candidate is the
    /// sample that `best_of = 1` gives. Default 1.
    pub best_of: i64,
    /// What is best: `"likelihood"`, the highest log-likelihood, or `"condition"`, the highest ratio of the likelihoods
    /// with and without the condition. Default `"likelihood"`.
    pub best_by: BestBy,
    /// Height and width, in tokens, of a grid `[H', W']` larger than in training; see
    /// [`autoregressive::sample`](crate::autoregressive::sample). In a recipe, use `size` of `[sample]` instead.
    /// Default: those of training.
    pub size: Option<[i64; 2]>,
    /// Seed of the random numbers. Default 0.
    pub seed: u64,
}

impl Default for AutoregressiveSampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            cfg_scale: 1.0,
            cfg_schedule: CfgSchedule::Constant,
            no_repeat_ngram: None,
            best_of: 1,
            best_by: BestBy::Likelihood,
            size: None,
            seed: 0,
        }
    }
}

impl AutoregressiveSampling {
    /// Checks every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        let check = |allowed: bool, field, reason: String| match allowed {
            true => Ok(()),
            false => Err(PriorError::config(field, reason)),
        };
        let Self { temperature, top_k, top_p, min_p, cfg_scale, cfg_schedule, no_repeat_ngram, best_of, size, .. } =
            self;
        let finite = |value: f64| (0.0..f64::INFINITY).contains(&value);
        check(finite(*temperature), "temperature", format!("must be 0 (greedy) or positive, got {temperature:?}"))?;
        check(finite(*cfg_scale), "cfg_scale", format!("must be 0 or positive, got {cfg_scale:?}"))?;
        let beyond = format!("must be at most {MOST_CFG_SCALE}: beyond, logits are rounded away; got {cfg_scale:?}");
        check(*cfg_scale <= MOST_CFG_SCALE, "cfg_scale", beyond)?;
        if let CfgSchedule::First(count) = cfg_schedule {
            check(*count >= 0, "cfg_schedule", format!("first must be at least 0, got {count}"))?;
        }
        for (field, count) in [("top_k", *top_k), ("no_repeat_ngram", *no_repeat_ngram), ("best_of", Some(*best_of))] {
            let count = count.unwrap_or(1);
            check(count >= 1, field, format!("must be at least 1, got {count}"))?;
        }
        let most = format!("must be at most {MOST_CANDIDATES}, got {best_of}");
        check(*best_of <= MOST_CANDIDATES, "best_of", most)?;
        let same = "of a greedy sample all candidates are the same: use a temperature above 0";
        check(*best_of == 1 || *temperature > 0.0, "best_of", same.into())?;
        if let Some(p) = top_p {
            check(*p > 0.0 && *p <= 1.0, "top_p", format!("must lie in (0, 1], got {p}"))?;
        }
        if let Some(p) = min_p {
            check((0.0..=1.0).contains(p), "min_p", format!("must lie in [0, 1], got {p}"))?;
        }
        if let Some(size) = size {
            let allowed = size.iter().all(|side| (1..=MOST_SIDE).contains(side));
            check(
                allowed,
                "size",
                format!("must be at least 1 x 1 and at most {MOST_SIDE} x {MOST_SIDE}, got {size:?}"),
            )?;
        }
        Ok(())
    }

    /// Whether the null condition is read for any of `length` tokens: for guidance, or to compare candidates.
    pub(crate) fn needs_null(&self, length: i64) -> bool {
        self.guides(length) || (length > 0 && self.compares_by_condition())
    }

    /// Whether there are candidates that are compared by their condition.
    pub(crate) fn compares_by_condition(&self) -> bool {
        self.best_of > 1 && self.best_by == BestBy::Condition
    }

    /// Whether any of `length` tokens is guided: every schedule but one reaches its scale at the last of them.
    fn guides(&self, length: i64) -> bool {
        let starts = !matches!(self.cfg_schedule, CfgSchedule::First(count) if count < 1);
        length > 0 && self.cfg_scale != 1.0 && starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_is_where_a_scale_is_not_one() {
        use CfgSchedule::{Constant, Cosine, First, Linear};
        for cfg_schedule in [Constant, Linear, Cosine, First(0), First(1), First(9)] {
            for cfg_scale in [0.0, 1.0, 1.0 + f64::EPSILON, 3.0] {
                let sampling = AutoregressiveSampling { cfg_scale, cfg_schedule, ..AutoregressiveSampling::default() };
                for length in [0, 1, 2, 7] {
                    let any = (0..length).any(|at| cfg_schedule.scale(cfg_scale, at, length) != 1.0);
                    assert_eq!(sampling.guides(length), any, "{sampling:?} {length}");
                }
            }
        }
    }
}
