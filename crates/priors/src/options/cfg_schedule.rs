//! How the scale of classifier-free guidance changes from the first token of a grid to the last.

use std::f64::consts::PI;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the scale `s(p)` of guidance changes from the first of `N` tokens, `p = 0`, to the last, `p = N - 1`; `S` is
/// [`AutoregressiveSampling::cfg_scale`](crate::AutoregressiveSampling::cfg_scale). Where it is 1, tokens are sampled
/// from the conditional logits.
///
/// Growing schedules keep the first tokens of a sample diverse (Chang et al. 2023; compared in Wang et al. 2024,
/// "Analysis of Classifier-Free Guidance Weight Schedulers").
///
/// ```
/// use vqkit_priors::CfgSchedule;
///
/// assert_eq!(CfgSchedule::Linear.scale(3.0, 4, 9), 2.0);
/// assert_eq!("first=2".parse(), Ok(CfgSchedule::First(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CfgSchedule {
    /// `s = S`
    #[default]
    Constant,
    /// `s = 1 + (S - 1) · p / (N - 1)`
    Linear,
    /// `s = 1 + (S - 1) · (1 - cos(π · p / (N - 1))) / 2`
    Cosine,
    /// `s = S` for this many first tokens, and 1 after them; LlamaGen's `cfg_interval` is this number minus 2, and its
    /// `-1` is `constant`.
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

impl FromStr for CfgSchedule {
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
