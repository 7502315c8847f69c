//! A folder of images and a second folder with their templates.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::{FilePlace, Files, Listing, gather, images_under, item};
use super::open::{DataKeys, OpenSource, Opening};
use crate::{BadFile, DataError, Source, TemplateKind};

/// `type = "pairs"`: two folders whose files are matched by name without extension. A template has the size of its
/// image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsConfig {
    /// Folder of the training samples, relative to `data.root`, which holds both folders.
    pub train: PathBuf,
    /// Folder of the validation samples, with the same structure. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// Folder of images inside it. Default `"images"`.
    #[serde(default = "default_images")]
    pub images: PathBuf,
    /// Folder of templates inside it, such as `"segmentations"`.
    pub templates: PathBuf,
    /// What the templates are.
    pub template: TemplateKind,
}

fn default_images() -> PathBuf {
    "images".into()
}

impl OpenSource for PairsConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        self.template.validate()
    }

    fn template(&self) -> Option<TemplateKind> {
        Some(self.template.clone())
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        self.open(&opening.root.join(&self.train), opening)
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        self.validation.as_ref().map(|path| self.open(&opening.root.join(path), opening)).transpose()
    }
}

impl PairsConfig {
    fn open(&self, folder: &Path, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        let (images, templates) = (folder.join(&self.images), folder.join(&self.templates));
        let by_stem: BTreeMap<String, String> =
            images_under(&templates)?.paths.into_iter().map(|path| (stem(&path).to_owned(), path)).collect();
        let Listing { paths, rejected } = images_under(&images)?;
        let items = paths.into_iter().map(|path| {
            let image = images.join(&path);
            let Some(template) = by_stem.get(stem(&path)).map(|path| templates.join(path)) else {
                let reason = format!("has no template of the same name in {}", templates.display());
                return Err(BadFile { key: image.display().to_string(), reason });
            };
            item(stem(&path).to_owned(), FilePlace { image, template: Some(template), caption: None }, None)
        });
        let found = gather(items, rejected);
        Ok(Arc::new(Files::new(folder, found, Some(self.template.clone()), opening)?))
    }
}

/// The path without its last extension.
fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}
