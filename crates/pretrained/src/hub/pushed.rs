//! What is uploaded, and what an upload did.

use std::path::Path;

use serde::Serialize;

use crate::hub::location::HubPath;

/// An upload.
#[derive(Debug, Clone)]
pub struct Push<'p> {
    /// The folder; files and folders whose names begin with a dot stay, apart from `.gitattributes`.
    pub folder: &'p Path,
    /// The repository, and where in it the files go.
    pub to: &'p HubPath,
    /// The message of the commit.
    pub message: &'p str,
    /// Whether only the user may see a repository that does not exist yet.
    pub private: bool,
}

/// What an upload did.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// The page of the repository.
    pub url: String,
    /// Whether the repository is new.
    pub created: bool,
    /// The paths in the repository of the files of the commit.
    pub changed: Vec<String>,
    /// Number of files that were there already.
    pub unchanged: usize,
    /// The commit; `None` where nothing changed.
    pub commit: Option<String>,
}
