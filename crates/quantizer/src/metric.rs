//! Metrics between latents and codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Lower bound of lengths, as in vector-quantize-pytorch.
pub(crate) const LEAST_NORM: f64 = 1e-6;

/// Metric by which latents are compared with a table of codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The Euclidean distance, as in van den Oord et al. 2017.
    #[default]
    Euclidean,
    /// The angle: latents and codes are normalised to length 1 first, and the output is the code of length 1 (Yu et al.
    /// 2022, "Vector-quantized Image Modeling with Improved VQGAN", section 3.2, with codes of few dimensions;
    /// LlamaGen's `codebook_l2_norm`, and `use_cosine_sim` of vector-quantize-pytorch).
    Cosine,
}

impl Metric {
    /// FlatLatents `[N, D]` as they are compared, with their gradient.
    pub(crate) fn apply(self, rows: &Tensor) -> Tensor {
        match self {
            Self::Euclidean => rows.shallow_clone(),
            Self::Cosine => normalized(rows),
        }
    }
}

/// FlatLatents `[N, D]` of length 1.
pub(crate) fn normalized(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(LEAST_NORM)
}
