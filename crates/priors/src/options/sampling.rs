//! How tokens are sampled: the options of each family of priors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autoregressive::AutoregressiveSampling;
use crate::PriorError;

/// How tokens are sampled, by the family of the prior. A prior refuses the options of another family.
///
/// In a recipe, this is the table of the autoregressive options itself: there is no other family yet.
///
/// ```
/// use vqkit_priors::{AutoregressiveSampling, Sampling};
///
/// let sampling = Sampling::from(AutoregressiveSampling { top_k: Some(100), ..Default::default() });
/// assert_eq!(sampling.with_seed(7).seed(), 7);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, from = "AutoregressiveSampling")]
pub enum Sampling {
    /// One token after the other.
    Autoregressive(AutoregressiveSampling),
}

impl Default for Sampling {
    fn default() -> Self {
        AutoregressiveSampling::default().into()
    }
}

impl From<AutoregressiveSampling> for Sampling {
    fn from(options: AutoregressiveSampling) -> Self {
        Self::Autoregressive(options)
    }
}

impl Sampling {
    /// Checks every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        match self {
            Self::Autoregressive(options) => options.validate(),
        }
    }

    /// The seed of the random numbers.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Autoregressive(options) => options.seed,
        }
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        match self {
            Self::Autoregressive(options) => Self::Autoregressive(AutoregressiveSampling { seed, ..options }),
        }
    }

    /// Height and width in tokens of a grid that is larger than the prior's own, `[H', W']`.
    pub fn size(&self) -> Option<[i64; 2]> {
        match self {
            Self::Autoregressive(options) => options.size,
        }
    }

    /// The same for a grid of another size; `None`: the prior's own.
    #[must_use]
    pub fn with_size(self, size: Option<[i64; 2]>) -> Self {
        match self {
            Self::Autoregressive(options) => Self::Autoregressive(AutoregressiveSampling { size, ..options }),
        }
    }
}
