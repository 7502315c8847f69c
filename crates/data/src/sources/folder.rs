//! A folder of images.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::captions::Captions;
use super::files::{FilePlace, Files, gather, item};
use super::labels::Label;
use super::listing::Listing;
use super::open::{DataKeys, OpenSource, Opening};
use crate::{BadFile, DataError, Source};

/// `type = "folder"`: a folder of images. Images directly in it have no class; if all images are in sub-folders, the
/// first sub-folder is the class. A mixture of both is an error. A text beside an image, `0001.txt` beside `0001.jpg`, is its
/// caption; a blank one is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// Folder of the training images, relative to `data.root`.
    pub train: PathBuf,
    /// Folder of the validation images, with the same classes. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
}

impl OpenSource for FolderConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        Ok(())
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        open(&opening.root.join(&self.train), opening)
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        self.validation.as_ref().map(|path| open(&opening.root.join(path), opening)).transpose()
    }
}

fn open(folder: &Path, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
    let Listing { paths, rejected, mut passed, texts } = Listing::of(folder)?;
    let flat = paths.iter().filter(|path| !path.contains('/')).count();
    if flat != 0 && flat != paths.len() {
        let reason = format!(
            "holds {flat} images and {} in sub-folders; move them all into sub-folders, one per class, or all out of them",
            paths.len() - flat
        );
        return Err(DataError::Source { path: folder.into(), reason });
    }
    let mut captions = Captions::new(folder, texts);
    let items: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let label = path.split_once('/').map(|(class, _)| Label::Name(class.to_owned()));
            let image = folder.join(&path);
            let bad = |reason: String| BadFile { key: image.display().to_string(), reason };
            let caption = captions.take(&path).map_err(bad)?;
            item(path, FilePlace { image, template: None, caption }, label)
        })
        .collect();
    captions.leave_in(&mut passed);
    let found = gather(items.into_iter(), rejected, passed);
    Ok(Arc::new(Files::new(folder, found, None, opening)?))
}
