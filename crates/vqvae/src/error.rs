//! What can be wrong with images, tokens and configurations.

/// Errors of this crate; each message names the value found and the one wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// Images of another rank or number of channels.
    #[error("images must have shape [B, {channels}, H, W], got {got:?}")]
    Shape {
        /// Number of channels wanted.
        channels: i64,
        /// The shape found.
        got: Vec<i64>,
    },
    /// Images that do not come apart into whole tokens.
    #[error(
        "images of {height} by {width} pixels: the tokenizer reduces both sides by {factor}, \
         so both must be multiples of {factor}"
    )]
    Size {
        /// Height found.
        height: i64,
        /// Width found.
        width: i64,
        /// The downsampling of the coarsest level.
        factor: i64,
    },
    /// Tokens with another number of levels.
    #[error("the tokenizer has {want} levels of tokens, got {got}")]
    Levels {
        /// Number of levels wanted.
        want: usize,
        /// Number found.
        got: usize,
    },
    /// Levels of tokens that do not belong to one picture size.
    #[error("grids of {got:?} positions do not belong together: every level must be as many times finer as {want:?}")]
    Grids {
        /// Downsampling of every level.
        want: Vec<i64>,
        /// Grid of every level.
        got: Vec<Vec<i64>>,
    },
    /// Codes of another width than the latents.
    #[error("the quantizer's codes are {got} wide; the decoder takes them as wide as the latents, {want}")]
    CodeWidth {
        /// The width wanted.
        want: i64,
        /// The quantizer's.
        got: i64,
    },
    /// A key of the configuration.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The quantizer refused.
    #[error(transparent)]
    Quantize(#[from] vqkit_quantizer::QuantizeError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::TorchError),
}

impl From<vqkit_torch::LibtorchError> for TokenizerError {
    fn from(error: vqkit_torch::LibtorchError) -> Self {
        Self::Torch(error.into())
    }
}

impl From<tch::TchError> for TokenizerError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
