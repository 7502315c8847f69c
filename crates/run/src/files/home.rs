//! A folder that is in use, and whether it is still there.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{error::Result, error::RunError};

/// A folder that is in use.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    opened: File,
}

impl Home {
    /// The folder at `path`.
    ///
    /// # Errors
    /// When it does not exist, or may not be read.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = File::open(path).map_err(|source| RunError::io("open", path, source))?;
        Ok(Self { path: path.to_owned(), opened })
    }

    /// Checks that it is still at its path.
    ///
    /// # Errors
    /// [`RunError::Artifact`] when it was moved or removed meanwhile, even if another folder has its name now.
    pub fn check(&self) -> Result<()> {
        let identity = |found: Metadata| (found.dev(), found.ino());
        let opened = self.opened.metadata().map(identity);
        let opened = opened.map_err(|source| RunError::io("look at", &self.path, source))?;
        match fs::metadata(&self.path).map(identity) {
            Ok(found) if found == opened => Ok(()),
            _ => {
                let reason = "the folder was moved or removed while vqkit worked in it, so the work stops here; move a run back to this path and \
                              resume it";
                Err(RunError::artifact(&self.path, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_moved_is_missed_even_where_another_took_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("run")).unwrap();
        let home = Home::open(&at("run")).unwrap();
        home.check().unwrap();
        fs::rename(at("run"), at("elsewhere")).unwrap();
        assert!(home.check().is_err());
        fs::create_dir(at("run")).unwrap();
        assert!(home.check().unwrap_err().to_string().contains("moved or removed"));
    }
}
