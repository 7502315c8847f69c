//! Errors in token files, and in the data that they are made from.

/// The result of everything in this crate.
pub type Result<T, E = TokensError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// No images were set aside for validation.
    #[error("no images are set aside for validation: set `validation` in [data.source], or data.validation = 0.05")]
    NoValidation,
    /// The endless stream of training images ended.
    #[error("the stream of training images ended after an error")]
    StreamEnded,
    /// A set of token files without a file.
    #[error("no token files given")]
    NoFiles,
    /// A level or an image that token files do not have.
    #[error("there is no {what} {index} in token files of {count}")]
    OutOfRange {
        /// `level` or `image`.
        what: &'static str,
        /// The requested index.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// Malformed grids of tokens in a record.
    #[error("{0}")]
    TokenRows(String),
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] vqkit_recipe::InvalidRequest),
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(#[from] vqkit_recipe::RecipeError),
    /// The run folder or the device.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
    /// A network cannot be built or loaded.
    #[error("{0}")]
    Model(#[from] vqkit_models::ModelError),
    /// From the crate of published weights.
    #[error("{0}")]
    Pretrained(#[from] vqkit_pretrained::PretrainedError),
    /// From the data crate.
    #[error("{0}")]
    Data(#[from] vqkit_data::DataError),
    /// From the torch crate.
    #[error("{0}")]
    Weights(#[from] vqkit_torch::TorchError),
    /// From the quantizer crate.
    #[error("{0}")]
    Quantize(#[from] vqkit_quantizer::QuantizeError),
    /// From the tokenizer crate.
    #[error("{0}")]
    Tokenizer(#[from] vqkit_vqvae::TokenizerError),
    /// From the priors crate.
    #[error("{0}")]
    Prior(#[from] vqkit_priors::PriorError),
    /// A grid of tokens that does not fit.
    #[error("{0}")]
    Tokens(#[from] vqkit_torch::TokenError),
    /// libtorch refused.
    #[error("{0}")]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for TokensError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}
