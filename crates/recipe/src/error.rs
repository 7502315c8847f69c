//! What can be wrong with a recipe, or with what a caller asks for.

use std::{io, path::PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = RecipeError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file, key or value and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A key or value of the file; the message names file, line and key.
    #[error("{0}")]
    Config(#[from] vqkit_config::ConfigError),
    /// What the recipe asks for cannot be done.
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The file is longer than any recipe.
    #[error("{path}: is longer than the {longest} bytes of any recipe")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes of a recipe, at most.
        longest: u64,
    },
    /// A value has no TOML form.
    #[error("the recipe has no TOML form: {0}")]
    Serialize(#[from] toml::ser::Error),
}

/// What a recipe or a caller asks for cannot be done: the request has to change, not the files it works on.
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
