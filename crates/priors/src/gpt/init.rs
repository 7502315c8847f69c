//! Parameters as both kinds of transformer initialise them.

use tch::Tensor;
use tch::nn::{Init, Path};

/// Standard deviation of initial weights.
pub(super) const STDEV: f64 = 0.02;

/// A table or matrix `weight` `[rows, width]`, initialised with a normal distribution of [`STDEV`].
pub(super) fn table(vs: &Path, rows: i64, width: i64) -> Tensor {
    vs.var("weight", &[rows, width], Init::Randn { mean: 0.0, stdev: STDEV })
}
