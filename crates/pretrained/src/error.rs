//! Errors of weights that others published.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = PretrainedError> = std::result::Result<T, E>;

/// Errors of this crate; each message names the file or location, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// Weights that are known by name and cannot be downloaded.
    #[error("{0}")]
    Fetch(Box<FetchError>),
    /// A file that is not the published one.
    #[error("{0}")]
    Checksum(Box<ChecksumError>),
    /// A file or a repository of the Hugging Face Hub that cannot be had, or written.
    #[error("{0}")]
    Hub(Box<HubError>),
    /// The table of published checkpoints.
    #[error("the table of published checkpoints cannot be read: {0}")]
    Table(#[from] toml::de::Error),
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(#[from] vqkit_recipe::InvalidRequest),
    /// A file that cannot be read or written.
    #[error("{0}")]
    Run(#[from] vqkit_run::RunError),
}

/// Weights that are known by name and cannot be downloaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {name}: {reason}; fetch {url}{} by other means and put it at {}", .sha256.as_ref().map(|sum| format!(" (SHA-256 {sum})")).unwrap_or_default(), path.display())]
pub struct FetchError {
    /// The name.
    pub name: String,
    /// What failed.
    pub reason: String,
    /// Where the file is published.
    pub url: String,
    /// Its checksum, if it is known.
    pub sha256: Option<String>,
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

/// A file or a repository of the Hugging Face Hub that cannot be had, or written.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {problem}")]
pub struct HubError {
    /// The file or the repository, as `hf://owner/name/file`.
    pub location: String,
    /// What is wrong.
    pub problem: HubProblem,
}

/// What is wrong with a file or a repository of the Hugging Face Hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProblem {
    /// The program was built without the Hub.
    #[error("this build cannot reach the Hugging Face Hub; build it with the Cargo feature `hub`")]
    NoFeature,
    /// It is not on this machine, and downloads are forbidden.
    #[error("is not in the cache, and {variable} forbids the network; it belongs at {}", place.display())]
    Offline {
        /// The environment variable that forbids downloads.
        variable: &'static str,
        /// Where it belongs.
        place: PathBuf,
    },
    /// The user has no token, and the Hub asks for one, or uploads need one.
    #[error("{0}; set HF_TOKEN to a token from https://huggingface.co/settings/tokens, or log in with `hf auth login`")]
    NoToken(&'static str),
    /// Status 401 although there is a token.
    #[error("the Hub answers 401: the token of {0} is not valid (any more), or the repository does not exist")]
    Unauthorized(String),
    /// Status 403.
    #[error(
        "the Hub answers 403{detail}: the token may not do this; accept the terms of the repository on its page, or use a token with more rights"
    )]
    Forbidden {
        /// What the server says, after a separator.
        detail: String,
    },
    /// Status 404.
    #[error("the Hub answers 404: {0}")]
    NotFound(&'static str),
    /// Another status, a cut connection, an answer that makes no sense.
    #[error("{0}")]
    Network(String),
}
