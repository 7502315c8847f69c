//! What can go wrong between a recipe and its pictures.

use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A recipe is wrong; the message names file, line and key.
    #[error(transparent)]
    Recipe(#[from] vqkit_config::ConfigError),
    /// The call itself is wrong, not what it works on.
    #[error("{0}")]
    Usage(String),
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A JSON file that does not hold what it should.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A run folder, checkpoint or token file that does not fit.
    #[error("{path}: {reason}")]
    Artifact {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Weights that are known by name and cannot be had.
    #[error("cannot fetch {name}: {reason}; fetch {url} (SHA-256 {sha256}) by other means and put it at {}", path.display())]
    Fetch {
        /// The name.
        name: String,
        /// What failed.
        reason: String,
        /// Where the file is published.
        url: String,
        /// Its checksum.
        sha256: String,
        /// Where it belongs.
        path: PathBuf,
    },
    /// A file that is not the one published.
    #[error("{}: SHA-256 {found} was found, {wanted} is published: {remedy}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum published.
        wanted: String,
        /// The checksum found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// Training went wrong.
    #[error("{stage}, step {step}: {reason}")]
    Training {
        /// The stage.
        stage: String,
        /// The step, counted from 1.
        step: u64,
        /// The cause and the remedy.
        reason: String,
    },
    /// The user asked to stop; nothing half-made is left.
    #[error("interrupted")]
    Interrupted,
    /// From the data crate.
    #[error(transparent)]
    Data(#[from] vqkit_data::DataError),
    /// From the torch crate.
    #[error(transparent)]
    Weights(#[from] vqkit_torch::TorchError),
    /// From the quantizer crate.
    #[error(transparent)]
    Quantize(#[from] vqkit_quantizer::QuantizeError),
    /// From the tokenizer crate.
    #[error(transparent)]
    Tokenizer(#[from] vqkit_vqvae::TokenizerError),
    /// From the losses crate.
    #[error(transparent)]
    Loss(#[from] vqkit_losses::LossError),
    /// From the metrics crate.
    #[error(transparent)]
    Metrics(#[from] vqkit_metrics::MetricsError),
    /// From the priors crate.
    #[error(transparent)]
    Prior(#[from] vqkit_priors::PriorError),
    /// A grid of tokens that does not fit.
    #[error(transparent)]
    Tokens(#[from] vqkit_torch::TokenError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for PipelineError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl PipelineError {
    /// An operating system's error while doing `action` to `path`.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// An artifact at `path` that does not fit.
    pub fn artifact(path: &Path, reason: impl Into<String>) -> Self {
        Self::Artifact { path: path.to_owned(), reason: reason.into() }
    }

    /// The exit code of a program that ends with this error: 1 failed, 2 usage, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Recipe(_) | Self::Usage(_) => 2,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}
