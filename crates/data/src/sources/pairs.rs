//! A folder of images and a second folder with their templates.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::captions::Captions;
use super::files::{FilePlace, Files, gather, item};
use super::listing::Listing;
use super::open::{DataKeys, OpenSource, Opening};
use crate::{BadFile, DataError, PassedOver, Source, TemplateKind};

/// `type = "pairs"`: two folders whose files are matched by name without extension. A template has the size of its
/// image. A text beside an image is its caption.
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
        let (images, folder_of_templates) = (folder.join(&self.images), folder.join(&self.templates));
        let mut templates = Templates::of(&folder_of_templates)?;
        let Listing { paths, rejected, mut passed, texts } = Listing::of(&images)?;
        let mut captions = Captions::new(&images, texts);
        let items: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let image = images.join(&path);
                let found = templates.take(stem(&path)).and_then(|template| Ok((template, captions.take(&path)?)));
                match found {
                    Ok((template, caption)) => {
                        let place = FilePlace { image, template: Some(template), caption };
                        item(stem(&path).to_owned(), place, None)
                    }
                    Err(reason) => Err(BadFile { key: image.display().to_string(), reason }),
                }
            })
            .collect();
        captions.leave_in(&mut passed);
        passed.extend(&templates.passed_over());
        let found = gather(items.into_iter(), rejected, passed);
        Ok(Arc::new(Files::new(folder, found, Some(self.template.clone()), opening)?))
    }
}

/// The templates of a folder, by their names without extension.
struct Templates<'a> {
    folder: &'a Path,
    by_stem: BTreeMap<String, Vec<String>>,
    /// Those that cannot be used, by their whole paths without extension.
    refused: HashMap<String, BadFile>,
    /// Those that an image asked for.
    asked: BTreeSet<String>,
    passed: PassedOver,
}

impl<'a> Templates<'a> {
    fn of(folder: &'a Path) -> Result<Self, DataError> {
        let Listing { paths, rejected, passed, .. } = Listing::of(folder)?;
        let mut by_stem: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in paths {
            by_stem.entry(stem(&path).to_owned()).or_default().push(path);
        }
        let refused = rejected.into_iter().map(|bad| (stem(&bad.key).to_owned(), bad)).collect();
        Ok(Self { folder, by_stem, refused, asked: BTreeSet::new(), passed })
    }

    /// The template of this name.
    ///
    /// # Errors
    /// In words, where there is none, or more than one.
    fn take(&mut self, name: &str) -> Result<PathBuf, String> {
        let shown = self.folder.display();
        self.asked.insert(name.to_owned());
        match self.by_stem.get(name).map(Vec::as_slice) {
            Some([path]) => Ok(self.folder.join(path)),
            Some(several) => Err(format!("has several templates in {shown}: {}; leave one", several.join(", "))),
            None => {
                let at = self.folder.join(name).display().to_string();
                Err(self.refused.get(&at).map_or_else(
                    || format!("has no template of the same name in {shown}"),
                    |bad| format!("has a template that cannot be used: {bad}"),
                ))
            }
        }
    }

    /// What is no template, and templates that no image asked for.
    fn passed_over(&self) -> PassedOver {
        let mut passed = self.passed.clone();
        let refused = self.refused.keys().filter_map(|path| Path::new(path).strip_prefix(self.folder).ok()?.to_str());
        let names = self.by_stem.keys().map(String::as_str).chain(refused);
        match names.filter(|name| !self.asked.contains(*name)).count() {
            0 => {}
            alone => passed.add("templates without an image", alone),
        }
        passed
    }
}

/// The path without its last extension.
fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}
