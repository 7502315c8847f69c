//! Errors in images, logits, weights and configurations.

/// Errors of this crate; each message names the value found and the one wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// A tensor of another shape.
    #[error("{what} must have shape {want}, got {got:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Description of the expected shape.
        want: String,
        /// The shape found.
        got: Vec<i64>,
    },
    /// Images that the layers of a network shrink to nothing.
    #[error("images of {height} by {width} pixels are too small for {network}: it needs at least {least} by {least}")]
    Size {
        /// Height found.
        height: i64,
        /// Width found.
        width: i64,
        /// The network, with the setting that decides.
        network: String,
        /// The shortest side that it takes.
        least: i64,
    },
    /// Weights that a file should have held.
    #[error("{count} of the {of} tensors of {part} are missing, such as `{example}`: they come with {source_file}")]
    Missing {
        /// How many are missing.
        count: usize,
        /// How many there should be.
        of: usize,
        /// The part of the network.
        part: &'static str,
        /// The first of them, under every name that would have been accepted.
        example: String,
        /// The file that holds them.
        source_file: &'static str,
    },
    /// Weights that do not make the network they are meant for.
    #[error("{0}")]
    Weights(String),
    /// A key of the configuration.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// From the torch crate.
    #[error(transparent)]
    Shim(#[from] vqkit_torch::TorchError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for LossError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
