//! How tokens are drawn: every choice that a sample is a function of.

use std::f64::consts::PI;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::window::Windows;
use crate::{Condition, Prior, PriorError};

/// The greatest scale of guidance: ten thousand times what anybody uses, and far from where f32 ends.
const MOST_CFG_SCALE: f64 = 1e5;

/// Candidates of a sample, at most; more are a typing error.
const MOST_CANDIDATES: i64 = 1 << 16;
/// The longest side of a grid, in tokens: what is counted of it stays far from where numbers end.
const MOST_SIDE: i64 = 1 << 16;

/// How tokens are drawn from logits. What acts on them acts in the order guidance, `no_repeat_ngram`, temperature, `top_k`,
/// `top_p`, `min_p`.
///
/// ```
/// use vqkit_priors::{CfgSchedule, Sampling};
///
/// let sampling = Sampling { top_p: Some(0.9), cfg_schedule: CfgSchedule::Cosine, ..Sampling::default() };
/// assert!(sampling.validate().is_ok());
/// assert!(Sampling { temperature: -1.0, ..sampling }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token. Default 1.
    pub temperature: f64,
    /// Keeps the `k` likeliest tokens; a `k` above the vocabulary keeps all. Default: all.
    pub top_k: Option<i64>,
    /// Keeps the likeliest tokens until their probabilities exceed `p`, `0 < p <= 1`
    /// (Holtzman et al. 2020). Default: all.
    pub top_p: Option<f64>,
    /// Keeps tokens at least `p` times as probable as the likeliest, `0 <= p <= 1` (Nguyen et al. 2024). Default: all.
    pub min_p: Option<f64>,
    /// Classifier-free guidance (Ho & Salimans 2022): `null + cfg_scale · (conditional - null)`. Default 1: none.
    pub cfg_scale: f64,
    /// How the scale of guidance goes along the grid. Default: it is the same everywhere.
    pub cfg_schedule: CfgSchedule,
    /// Draws no token that would end a sequence of so many tokens that stands in the grid already, at least 1; where that
    /// leaves none, all are allowed. Tokens follow each other in the order in which they are drawn, codebooks innermost, and a
    /// sequence repeats one that ends in the same codebook. For temperature 0, where samples otherwise run into loops
    /// (Paulus et al. 2017; `no_repeat_ngram_size` of transformers). Default: tokens may repeat.
    pub no_repeat_ngram: Option<i64>,
    /// Draws so many grids for each sample and keeps the one with the greatest log-likelihood, the first of those that are
    /// equal. The first is what would be drawn alone. Default 1.
    pub best_of: i64,
    /// Height and width of a grid that is larger than those the prior was trained on, `[H', W']` in tokens; see
    /// [`sample`](crate::sample). Default: the prior's own.
    pub size: Option<[i64; 2]>,
    /// Seed of the noise. Default 0.
    pub seed: u64,
}

/// How the scale `s(p)` of guidance goes from the first of `N` tokens, `p = 0`, to the last, `p = N - 1`; `S` is
/// [`Sampling::cfg_scale`]. Where it is 1, tokens are drawn from the conditional logits.
///
/// Schedules that grow keep what is laid out first varied (Chang et al. 2023; compared in Wang et al. 2024, "Analysis of
/// Classifier-Free Guidance Weight Schedulers").
///
/// ```
/// use vqkit_priors::CfgSchedule;
///
/// assert_eq!(CfgSchedule::Linear.scale(3.0, 4, 9), 2.0);
/// assert_eq!("first=2".parse(), Ok(CfgSchedule::First(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CfgSchedule {
    /// `s = S`
    #[default]
    Constant,
    /// `s = 1 + (S - 1) · p / (N - 1)`
    Linear,
    /// `s = 1 + (S - 1) · (1 - cos(π · p / (N - 1))) / 2`
    Cosine,
    /// `s = S` for the first so many tokens, and 1 after them; LlamaGen's `cfg_interval` is this number less 2, and its
    /// -1 is `constant`.
    First(i64),
}

impl CfgSchedule {
    /// The scale at token `position` of `length`, where `scale` is the largest.
    pub fn scale(self, scale: f64, position: i64, length: i64) -> f64 {
        // A grid of one token ends where it begins.
        let share = if length > 1 { position as f64 / (length - 1) as f64 } else { 1.0 };
        match self {
            Self::Constant => scale,
            Self::Linear => 1.0 + (scale - 1.0) * share,
            Self::Cosine => 1.0 + (scale - 1.0) * (1.0 - (PI * share).cos()) / 2.0,
            Self::First(count) if position < count => scale,
            Self::First(_) => 1.0,
        }
    }
}

impl std::str::FromStr for CfgSchedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be constant, linear, cosine or first=N, got {text}");
        match text {
            "constant" => Ok(Self::Constant),
            "linear" => Ok(Self::Linear),
            "cosine" => Ok(Self::Cosine),
            _ => text.strip_prefix("first=").and_then(|count| count.parse().ok()).map(Self::First).ok_or_else(wrong),
        }
    }
}

/// The arithmetic of a prior's weights while it samples; which ones there are, the prior says
/// ([`Prior::set_sampling_weights`](crate::Prior::set_sampling_weights)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplingWeights {
    /// As they were trained.
    #[default]
    Fp32,
    /// Rounded to bfloat16: half the memory to read for each token.
    Bf16,
    /// Rounded to 8 bits: a quarter.
    Int8,
}

impl fmt::Display for SamplingWeights {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl std::str::FromStr for SamplingWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Fp32, Self::Bf16, Self::Int8];
        let named = all.into_iter().find(|weights| weights.to_string() == text);
        named.ok_or_else(|| format!("must be fp32, bf16 or int8, got {text}"))
    }
}

impl Default for Sampling {
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
            size: None,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        let check = |allowed: bool, field, reason: String| match allowed {
            true => Ok(()),
            false => Err(PriorError::config(field, reason)),
        };
        let Self { temperature, top_k, top_p, min_p, cfg_scale, cfg_schedule, no_repeat_ngram, best_of, size, seed: _ } =
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

    /// Whether `prior` can draw so; draws nothing.
    ///
    /// # Errors
    /// As [`sample`](crate::sample) for a value of `self`.
    pub fn check(&self, prior: &dyn Prior) -> Result<(), PriorError> {
        self.validate()?;
        let windows = Windows::new(prior, self.size)?;
        if self.guides(windows.positions()) {
            prior.null(&Condition::none(), 1)?;
        }
        Ok(())
    }

    /// Whether any of `length` tokens is guided: every schedule but one reaches its scale at the last of them.
    pub(crate) fn guides(&self, length: i64) -> bool {
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
                let sampling = Sampling { cfg_scale, cfg_schedule, ..Sampling::default() };
                for length in [0, 1, 2, 7] {
                    let any = (0..length).any(|at| cfg_schedule.scale(cfg_scale, at, length) != 1.0);
                    assert_eq!(sampling.guides(length), any, "{sampling:?} {length}");
                }
            }
        }
    }
}
