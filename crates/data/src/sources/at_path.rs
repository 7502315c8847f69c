//! A folder or archives of images as a source.

use std::path::Path;

use super::{FolderConfig, SourceConfig, TarConfig};
use crate::DataError;

impl SourceConfig {
    /// The images at a path: a folder, or tar archives such as `name-{000..004}.tar`.
    ///
    /// # Errors
    /// When there is nothing of the kind.
    pub fn at_path(path: &Path) -> Result<Self, DataError> {
        let refuse = |reason: &str| DataError::Source { path: path.to_owned(), reason: reason.into() };
        let absolute = std::path::absolute(path).map_err(DataError::io(path))?;
        match (path.extension().is_some_and(|extension| extension == "tar"), absolute.to_str()) {
            (true, Some(train)) => Ok(Self::Tar(TarConfig { train: train.into(), validation: None })),
            (true, None) => Err(refuse("its name is not UTF-8, as names of archives must be")),
            (false, _) if path.is_dir() => Ok(Self::Folder(FolderConfig { train: absolute, validation: None })),
            (false, _) => Err(refuse("is neither a folder of images nor a tar archive")),
        }
    }
}
