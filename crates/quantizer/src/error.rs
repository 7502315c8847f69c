//! Errors in latents, indices and configurations.

/// Errors of this crate; each message names the value found and the one wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// Latents of another width.
    #[error("latents have {got} channels, the quantizer was built for {want}")]
    Channels {
        /// Width wanted.
        want: i64,
        /// Width found.
        got: i64,
    },
    /// Latents or mask of another rank or shape.
    #[error("{what} must have shape {want}, got {got:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Description of the expected shape.
        want: String,
        /// The shape found.
        got: Vec<i64>,
    },
    /// A key of the configuration.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A grid that this quantizer did not write.
    #[error(transparent)]
    Tokens(#[from] vqkit_torch::TokenError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::TorchError),
}

impl From<tch::TchError> for QuantizeError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl From<vqkit_torch::LibtorchError> for QuantizeError {
    fn from(error: vqkit_torch::LibtorchError) -> Self {
        Self::Torch(error.into())
    }
}
