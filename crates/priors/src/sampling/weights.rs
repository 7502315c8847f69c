//! How a prior's weights are kept while it is sampled.

use serde::{Deserialize, Serialize};

/// How a prior's weights are kept while it is sampled. Fewer bits are read faster, and sums stay in f32 on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplingWeights {
    /// As they were trained.
    #[default]
    Fp32,
    /// Rounded to bfloat16.
    Bf16,
    /// Rounded to integers from -127 to 127, with a scale for each output.
    Int8,
}
