//! Errors of run folders and devices.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use vqkit_recipe::{InvalidRequest, RecipeError};

/// The result of everything in this crate.
pub type Result<T, E = RunError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(#[from] RecipeError),
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A JSON file with wrong content.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A run folder, checkpoint or other file that does not fit.
    #[error("{path}: {reason}")]
    Artifact {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A path for a new file or folder is taken, or cannot be created.
    #[error("{path} {reason}")]
    NotFree {
        /// The path.
        path: PathBuf,
        /// The reason.
        reason: &'static str,
    },
    /// The path for a new run is taken.
    #[error("{path} exists already: resume that run, or choose another folder")]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A stage whose output is needed is not done.
    #[error("{run}: its stage `{stage}` is not done; resume the run's training to finish it")]
    StageNotDone {
        /// The run folder.
        run: PathBuf,
        /// The stage.
        stage: String,
    },
    /// A chart or a piece of text could not be drawn.
    #[error("cannot draw {what}: {reason}")]
    Chart {
        /// What was to be drawn.
        what: String,
        /// The error of the drawing library.
        reason: String,
    },
    /// An image could not be encoded as PNG.
    #[error("cannot encode an image: {0}")]
    Encode(String),
    /// The work was interrupted; nothing half-written is left.
    #[error("interrupted")]
    Interrupted,
    /// From the data crate.
    #[error("{0}")]
    Data(#[from] vqkit_data::DataError),
    /// From the torch crate.
    #[error("{0}")]
    Weights(#[from] vqkit_torch::TorchError),
    /// libtorch refused.
    #[error("{0}")]
    Torch(#[from] vqkit_torch::LibtorchError),
}

impl From<tch::TchError> for RunError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl RunError {
    /// An error of the operating system during `action` on `path`.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A file or folder at `path` that does not fit.
    pub fn artifact(path: &Path, reason: impl Into<String>) -> Self {
        Self::Artifact { path: path.to_owned(), reason: reason.into() }
    }
}

/// Whether an error of any crate means that the work was interrupted.
pub fn is_interruption(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref::<RunError>(), Some(RunError::Interrupted)))
}

/// An error, and what caused it.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
}
