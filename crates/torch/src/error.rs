//! What can go wrong in this crate.

use std::path::{Path, PathBuf};

use crate::weights::Mismatch;
use crate::{LibtorchError, memory};

/// Why something of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// libtorch refused a call.
    #[error(transparent)]
    Libtorch(#[from] LibtorchError),
    /// Less memory than something would take, which was therefore not begun.
    #[error(
        "{what} would take {} of memory, and {} are free",
        memory::format_bytes(*needed),
        memory::format_bytes(*available)
    )]
    Memory {
        /// What would take it.
        what: String,
        /// How many bytes it would take.
        needed: u64,
        /// How many bytes this process may still take.
        available: u64,
    },
    /// A setting that makes no sense.
    #[error("`{field}`: {reason}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A device that there is none of.
    #[error("device `{asked}`: {reason}")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// Tensors that are not the ones wanted; lists every difference.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A file that is no sound file of weights, or that does not fit.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused to read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl From<tch::TchError> for TorchError {
    fn from(error: tch::TchError) -> Self {
        Self::Libtorch(error.into())
    }
}

impl TorchError {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
