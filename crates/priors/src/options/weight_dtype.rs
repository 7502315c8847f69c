//! The data type of a prior's weights while it samples.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PriorError;

/// The data type of a prior's weights while it samples; the prior determines which ones it supports
/// ([`Prior::set_weight_dtype`](crate::Prior::set_weight_dtype)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WeightDtype {
    /// 32-bit floats, as trained.
    #[default]
    Fp32,
    /// Rounded to bfloat16: half the memory traffic per token.
    Bf16,
    /// Rounded to 8-bit integers: a quarter of the memory traffic per token.
    Int8,
}

impl WeightDtype {
    /// All data types.
    pub(crate) const ALL: [Self; 3] = [Self::Fp32, Self::Bf16, Self::Int8];

    /// Checks that it is one of those that a prior supports.
    ///
    /// # Errors
    /// [`PriorError::Config`] where it is not.
    pub(crate) fn check(self, available: &[Self]) -> Result<(), PriorError> {
        match available.contains(&self) {
            true => Ok(()),
            false => {
                let reason = format!("this prior has no {self} weights; it samples with fp32");
                Err(PriorError::config("weight_dtype", reason))
            }
        }
    }
}

impl fmt::Display for WeightDtype {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for WeightDtype {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|dtype| dtype.to_string() == text);
        named.ok_or_else(|| format!("must be fp32, bf16 or int8, got {text}"))
    }
}
