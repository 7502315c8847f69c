//! What lies at a path as a source: a folder, archives, an image, or what a pattern matches.

use std::path::{Path, PathBuf};

use super::{FilesConfig, FolderConfig, SourceConfig, TarConfig, listed};
use crate::DataError;

impl SourceConfig {
    /// The images at a path: a folder, tar archives such as `name-{000..004}.tar`, a single image, or a pattern such as
    /// `photographs/*.jpg`.
    ///
    /// # Errors
    /// When there is nothing of the kind.
    pub fn at_path(path: &Path) -> Result<Self, DataError> {
        let refuse = |reason: &str| DataError::Source { path: path.to_owned(), reason: reason.into() };
        let absolute = std::path::absolute(path).map_err(DataError::io(path))?;
        match (path.extension().is_some_and(|extension| extension == "tar"), absolute.to_str()) {
            _ if listed::is_pattern(path) => Ok(Self::files(vec![absolute])),
            (true, Some(train)) => Ok(Self::Tar(TarConfig { train: train.into(), validation: None })),
            (true, None) => Err(refuse("its name is not UTF-8, as names of archives must be")),
            (false, _) if path.is_dir() => Ok(Self::Folder(FolderConfig { train: absolute, validation: None })),
            (false, _) if path.is_file() => Ok(Self::files(vec![absolute])),
            (false, _) => Err(refuse("there is no folder of images, tar archive or image here")),
        }
    }

    /// As [`SourceConfig::at_path`], of one path or of several images and patterns.
    ///
    /// # Errors
    /// When there is no path, nothing of the kind, or a folder or an archive beside others.
    pub fn at_paths(paths: &[PathBuf]) -> Result<Self, DataError> {
        if let [only] = paths {
            return Self::at_path(only);
        }
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            match Self::at_path(path)? {
                Self::Files(FilesConfig { train, .. }) => files.extend(train),
                _ => {
                    let reason = "is a folder or an archive; name it alone, or only single images".into();
                    return Err(DataError::Source { path: path.clone(), reason });
                }
            }
        }
        Ok(Self::files(files))
    }

    fn files(train: Vec<PathBuf>) -> Self {
        Self::Files(FilesConfig { train, validation: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::DataConfig;

    #[test]
    fn images_are_found_by_path_by_several_paths_by_pattern_and_in_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a.pgm", "b.pgm", "c [1].pgm", "note.xml", "._a.pgm"] {
            fs::write(at(name), "P2 1 1 255 7").unwrap();
        }
        let keys = |paths: &[PathBuf]| -> Vec<String> {
            let data = DataConfig::new(8, SourceConfig::at_paths(paths).unwrap()).open().unwrap();
            let name = |key: &str| Path::new(key).file_name().unwrap().to_string_lossy().into_owned();
            (0..data.train.len()).map(|index| name(data.train.key(index).unwrap())).collect()
        };
        assert_eq!(keys(&[at("b.pgm")]), ["b.pgm"]);
        assert_eq!(keys(&[at("c [1].pgm")]), ["c [1].pgm"]);
        assert_eq!(keys(&[at("b.pgm"), at("a.*"), at("b.*")]), ["b.pgm", "a.pgm"]);
        assert_eq!(keys(&[at("*")]), ["a.pgm", "b.pgm", "c [1].pgm"]);
        assert_eq!(keys(&[folder.path().to_owned()]), ["a.pgm", "b.pgm", "c [1].pgm"]);
        let both = SourceConfig::at_paths(&[at("a.pgm"), folder.path().to_owned()]).unwrap_err().to_string();
        assert!(both.contains("name it alone"), "{both}");
        assert!(SourceConfig::at_paths(&[at("gone.pgm")]).is_err());
        let none = DataConfig::new(8, SourceConfig::at_path(&at("*.png")).unwrap()).open();
        assert!(none.is_err());
    }
}
