//! Errors of reading checkpoints of other projects.

use std::{io, path::PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = ForeignError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
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
    /// A family that there is not.
    #[error("there is no family `{name}`; there are {}", known.join(", "))]
    UnknownFamily {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// A file of PyTorch's.
    #[error("{0}")]
    TorchFile(#[from] vqkit_torch_file::TorchFileError),
    /// From vqkit's crate of libtorch.
    #[error("{0}")]
    Torch(#[from] vqkit_torch::TorchError),
}

impl ForeignError {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::File { path: path.into(), reason: reason.into() }
    }
}
