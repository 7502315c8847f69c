//! Which of several candidates is kept.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the candidates of [`AutoregressiveSampling::best_of`](crate::AutoregressiveSampling::best_of) are compared by; `x`
/// are a candidate's tokens, `c` is its condition, and `∅` the null condition. All are probabilities at temperature 1,
/// without guidance and filters; known tokens do not count.
///
/// ```
/// use vqkit_priors::BestBy;
///
/// assert_eq!("condition".parse(), Ok(BestBy::Condition));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BestBy {
    /// `log p(x | c)`. Favours plain images, whose tokens are easy to predict.
    #[default]
    Likelihood,
    /// `log p(x | c) - log p(x | ∅)`: how much likelier the condition makes the image (maximum mutual information; Li et
    /// al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", equation 9 with `λ = 1`). Favours images that
    /// fit their condition; needs a prior with a null condition, as guidance does.
    Condition,
}

impl FromStr for BestBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "likelihood" => Ok(Self::Likelihood),
            "condition" => Ok(Self::Condition),
            _ => Err(format!("must be likelihood or condition, got {text}")),
        }
    }
}
