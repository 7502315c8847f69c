//! Errors of building, loading or downloading a network.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Weights that are known by name and cannot be downloaded.
    #[error("{0}")]
    Fetch(Box<FetchError>),
    /// A file that is not the published one.
    #[error("{0}")]
    Checksum(Box<ChecksumError>),
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] vqkit_recipe::InvalidRequest),
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(#[from] vqkit_recipe::RecipeError),
    /// The run folder or the device.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
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
    /// From the losses crate.
    #[error("{0}")]
    Loss(#[from] vqkit_losses::LossError),
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

impl From<tch::TchError> for ModelError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// Weights that are known by name and cannot be downloaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {name}: {reason}; fetch {url} (SHA-256 {sha256}) by other means and put it at {}", path.display())]
pub struct FetchError {
    /// The name.
    pub name: String,
    /// What failed.
    pub reason: String,
    /// Where the file is published.
    pub url: String,
    /// Its checksum.
    pub sha256: String,
    /// Where it belongs.
    pub path: PathBuf,
}

/// A file that is not the published one.
#[derive(Debug, thiserror::Error)]
#[error("{}: SHA-256 {found} was found, {wanted} is published: {remedy}", path.display())]
pub struct ChecksumError {
    /// The file.
    pub path: PathBuf,
    /// The checksum published.
    pub wanted: String,
    /// The checksum found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}
