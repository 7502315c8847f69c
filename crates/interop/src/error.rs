//! Errors of reading, importing and exporting checkpoints.

use std::{
    io,
    path::{Path, PathBuf},
};

use vqkit_foreign::{Family, ForeignError};

use crate::problems::Problems;

/// The result of everything in this crate.
pub type Result<T, E = InteropError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InteropError {
    /// A file that is not what it has to be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file that the system does not give.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Tensors that do not fit the networks.
    #[error("{0}")]
    Tensors(Box<Problems>),
    /// A request that cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] vqkit_recipe::InvalidRequest),
    /// The recipe that an import writes.
    #[error("{0}")]
    Recipe(#[from] vqkit_recipe::RecipeError),
    /// The run folder.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
    /// Building the networks.
    #[error("{0}")]
    Models(#[from] vqkit_models::ModelError),
    /// A graph of a tokenizer.
    #[error("{0}")]
    Graph(#[from] vqkit_graph::GraphError),
    /// Published weights.
    #[error("{0}")]
    Pretrained(#[from] vqkit_pretrained::PretrainedError),
    /// Token files.
    #[error("{0}")]
    Tokens(#[from] vqkit_tokens::TokensError),
    /// The priors.
    #[error("{0}")]
    Prior(#[from] vqkit_priors::PriorError),
    /// A checkpoint of another project.
    #[error("{0}")]
    Foreign(#[from] ForeignError),
    /// From vqkit's crate of libtorch.
    #[error("{0}")]
    Torch(#[from] vqkit_torch::TorchError),
}

impl InteropError {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }

    /// What a family cannot read in a file of its own.
    pub(crate) fn of_family(path: &Path, family: &dyn Family, reason: &str) -> Self {
        Self::file(path, format!("{}: {reason}", family.title()))
    }
}
