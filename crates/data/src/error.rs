//! What can be wrong with a configuration, a source, or one of its items.

use std::{fmt, io, path::PathBuf};

/// Errors of this crate; each message names the offending file or value and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A key of the configuration.
    #[error("`{field}`: {reason}")]
    Config {
        /// The key as it stands in `[data]`; dots lead into its tables, as in `source.count`.
        field: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The operating system refused a file or folder.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One item cannot be used; with `on_error = "skip"` it is left out instead.
    #[error("{0}")]
    Bad(BadFile),
    /// An archive, manifest or folder that cannot be used as a whole.
    #[error("{}: {reason}", path.display())]
    Source {
        /// The archive, manifest or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// `on_error = "skip"` met more bad items than `max_error_rate` allows.
    #[error("{bad} of {total} items are bad, above `max_error_rate` = {max_error_rate}; the first: {first}")]
    TooManyErrors {
        /// Bad items so far.
        bad: usize,
        /// Items of the view, the bad ones included.
        total: usize,
        /// The share allowed.
        max_error_rate: f64,
        /// The first of them.
        first: BadFile,
    },
    /// A class that the data set does not have.
    #[error("no class `{asked}`; {known}")]
    Class {
        /// What was asked for.
        asked: String,
        /// The classes that there are, in words.
        known: String,
    },
    /// Width, height and number of values of an image disagree.
    #[error("an image of {width}x{height} needs {want} values, got {got}")]
    Picture {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Values wanted.
        want: usize,
        /// Values found.
        got: usize,
    },
    /// An image that the PNG encoder refused.
    #[error("cannot encode an image: {0}")]
    Encode(String),
    /// A decoding thread could not be started or ended before its work.
    #[error("a decoding thread stopped: {0}")]
    Worker(String),
}

impl DataError {
    /// A [`DataError::Bad`] of this name and reason.
    pub(crate) fn bad(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Bad(BadFile { key: key.into(), reason: reason.into() })
    }

    /// A [`DataError::Config`] of this key and reason.
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }

    /// A [`DataError::Io`] of this path; for `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// One item that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BadFile {
    /// The file, or the archive and its member.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.key, self.reason)
    }
}
