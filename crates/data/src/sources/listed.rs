//! Single images, by their paths or by patterns.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use glob::MatchOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endings::Ending;
use super::files::{FilePlace, Files, gather, item};
use super::open::{DataKeys, OpenSource, Opening};
use crate::{BadFile, DataError, PassedOver, Source};

/// `type = "files"`: images by their paths, or by patterns such as `photographs/*.jpg`, in the order of the list and
/// of the names that a pattern matches; an image that is listed twice counts once. The images have no class.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("a.pgm"), "P2 1 1 255 7")?;
/// use vqkit_data::{DataConfig, SourceConfig};
///
/// let data = DataConfig::new(8, SourceConfig::at_path(&folder.path().join("*.pgm"))?).open()?;
/// assert_eq!(data.train.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Paths and patterns of the training images, relative to `data.root`.
    pub train: Vec<PathBuf>,
    /// Paths and patterns of the validation images. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<PathBuf>,
}

impl OpenSource for FilesConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        match self.train.is_empty() {
            true => Err(DataError::config("source.train", "is empty; name at least one image")),
            false => Ok(()),
        }
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        open(&self.train, opening)
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        (!self.validation.is_empty()).then(|| open(&self.validation, opening)).transpose()
    }
}

/// Whether a path that does not exist is a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    !path.exists() && path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn open(paths: &[PathBuf], opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
    let (mut found, mut passed, mut rejected) = (Vec::new(), PassedOver::default(), Vec::new());
    for path in paths {
        let path = opening.root.join(path);
        match is_pattern(&path) {
            true => found.extend(matches(&path, &mut passed, &mut rejected)?),
            false => found.push(path),
        }
    }
    let mut known = HashSet::new();
    found.retain(|path| known.insert(path.clone()));
    let folder = common_folder(&found);
    let items = found.into_iter().map(|image| {
        let key = image.strip_prefix(&folder).unwrap_or(&image).display().to_string();
        item(key, FilePlace { image, template: None, caption: None }, None)
    });
    let found = gather(items, rejected, passed);
    Ok(Arc::new(Files::new(&opening.root, found, None, opening)?))
}

/// The deepest folder that all paths lie in.
fn common_folder(paths: &[PathBuf]) -> PathBuf {
    let parents = paths.iter().filter_map(|path| path.parent());
    let common = parents.map(Path::to_owned).reduce(|common, parent| {
        let same = common.components().zip(parent.components()).take_while(|(common, parent)| common == parent);
        same.map(|(component, _)| component).collect()
    });
    common.unwrap_or_default()
}

/// The images that a pattern matches, in the order of their names; other files are counted.
fn matches(pattern: &Path, passed: &mut PassedOver, rejected: &mut Vec<BadFile>) -> Result<Vec<PathBuf>, DataError> {
    let wrong = |reason: String| DataError::Source { path: pattern.to_owned(), reason };
    let text = pattern.to_str().ok_or_else(|| wrong("is not UTF-8, as patterns must be".into()))?;
    if text.contains("**") {
        return Err(wrong("goes through folders without end; name the folder itself instead".into()));
    }
    // As in a shell, and in folders: hidden files are no images.
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
    let found = glob::glob_with(text, options).map_err(|error| wrong(format!("is not a pattern: {error}")))?;
    let mut images = Vec::new();
    for path in found {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match Ending::of(&name) {
            _ if path.is_dir() => {}
            Ending::Image => images.push(path),
            Ending::Unread(format) => {
                rejected.push(BadFile { key: path.display().to_string(), reason: Ending::refusal(format) });
            }
            Ending::Other => passed.add_file(&name),
        }
    }
    Ok(images)
}
