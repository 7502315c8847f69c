//! What can go wrong in this crate.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file of PyTorch's, or something in it, was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchFileError {
    /// The file is none of PyTorch's, is broken, or holds what is not read.
    #[error("{}: this file of PyTorch's cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The file was cut shorter after it was opened.
    #[error("{}: was cut to {now} of its {before} bytes while it was read; write it anew", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Its length when it was opened, in bytes.
        before: u64,
        /// Its length now, in bytes.
        now: u64,
    },
    /// The system refused to open or read the file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl TorchFileError {
    /// The file that was not read.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Cut { path, .. } | Self::Io { path, .. } => path,
        }
    }

    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
