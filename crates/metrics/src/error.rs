//! What can be wrong with images, features and weights.

/// Errors of this crate; each message names the value found and the one wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A tensor of another shape.
    #[error("{what} must have shape {want}, got {got:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape wanted, in words.
        want: String,
        /// The shape found.
        got: Vec<i64>,
    },
    /// Weights that do not make the network they are meant for.
    #[error("{0}")]
    Weights(String),
    /// Too few features or images for the metric.
    #[error("{metric} takes at least {least} {what}, got {got}")]
    Few {
        /// The metric.
        metric: &'static str,
        /// What there is too little of.
        what: &'static str,
        /// How many it takes.
        least: i64,
        /// How many there are.
        got: i64,
    },
    /// Features of two networks.
    #[error("the two sets have features of other widths: {first} and {second}")]
    Widths {
        /// Width of the first set's.
        first: i64,
        /// Width of the second set's.
        second: i64,
    },
    /// Numbers that are NaN or infinite; of such, no metric is given.
    #[error("{0} is not finite")]
    NotFinite(
        /// What they are of.
        &'static str,
    ),
    /// A matrix that is the covariance of nothing.
    #[error("a covariance is wrong: {0}")]
    Covariance(
        /// What is wrong with it.
        &'static str,
    ),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for MetricsError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
