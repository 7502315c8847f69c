//! Errors in a recipe or in a caller's request.

use std::{io, path::PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = RecipeError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A key or value of the file; the message names file, line and key.
    #[error("{0}")]
    Config(#[from] vqkit_config::ConfigError),
    /// The recipe requests something that cannot be done.
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is too long for a recipe.
    #[error("{path}: is longer than {longest} bytes, the most that a recipe may have")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Largest size of a recipe, in bytes.
        longest: u64,
    },
    /// A value that TOML cannot express.
    #[error("the recipe cannot be written as TOML: {0}")]
    Serialize(#[from] toml::ser::Error),
}

/// A recipe or a caller requests something that cannot be done: the request has to change, not the files it works on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A key of the recipe, such as `sample.count`.
    #[error("{key}: {reason}")]
    Key {
        /// The key, from the top of the recipe.
        key: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// An option of a call, by the name of its field in the library, such as `cfg_scale`.
    #[error("{option}: {reason}")]
    Option {
        /// The name of the field.
        option: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
}

impl InvalidRequest {
    /// A key of the recipe, from its top, and what is wrong with it.
    pub fn key(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Key { key: key.into(), reason: reason.into() }
    }

    /// An option of a call, and what is wrong with it.
    pub fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }
}
