//! Samples that are files of their own: what folders, pairs and manifests have in common.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::catalogue::{Catalogue, Entry, Item, ScanResult};
use super::{labels::Label, open::Opening};
use crate::{
    BadFile, DataError, Held, PassedOver, Picture, PictureReader, Sample, Source, SourceInfo, TemplateKind,
    decode::{Encoded, How},
    plain,
};

/// Where a sample's parts are.
pub(super) struct FilePlace {
    pub image: PathBuf,
    pub template: Option<PathBuf>,
    pub caption: Option<String>,
}

/// Samples that are files of their own.
pub(super) struct Files {
    catalogue: Catalogue<FilePlace>,
    reader: PictureReader,
}

impl Files {
    /// Of what a scan of `origin` found.
    pub(super) fn new(
        origin: &Path,
        found: ScanResult<FilePlace>,
        template: Option<TemplateKind>,
        opening: &Opening,
    ) -> Result<Self, DataError> {
        let catalogue = Catalogue::new(found, template, opening)?;
        let instead = catalogue.info.passed_over.instead();
        match catalogue.entries.is_empty() {
            true => {
                let reason = format!("holds no image that can be used{instead}");
                Err(DataError::Source { path: origin.into(), reason })
            }
            false => Ok(Self { catalogue, reader: opening.reader.clone() }),
        }
    }

    /// An image, and its template where it has one.
    fn pictures(&self, entry: &Entry<FilePlace>) -> Result<Held<(Picture, Option<Picture>)>, DataError> {
        let name = entry.name.as_str();
        let refused = |reason: String| DataError::bad(name, reason);
        let image = Opened::new(&entry.place.image).map_err(refused)?;
        let Some(path) = entry.place.template.as_deref() else {
            let _room = self.reader.room_for_file(image.len).map_err(refused)?;
            let bytes = image.read().map_err(refused)?;
            return self.reader.decode(&bytes, name)?.map(|image| Ok((image, None)));
        };
        let template = Opened::new(path).map_err(refused)?;
        let _room = self.reader.room_for_file(image.len.saturating_add(template.len)).map_err(refused)?;
        let files = [image.read().map_err(refused)?, template.read().map_err(refused)?];
        let shown = path.display().to_string();
        let image = Encoded { bytes: &files[0], name, how: How::Fast };
        let template = Encoded { bytes: &files[1], name: &shown, how: How::of(self.catalogue.info.template.as_ref()) };
        self.reader.hold_pair(image, template)?.map(|[image, template]| {
            let (found, want) = ((template.width(), template.height()), (image.width(), image.height()));
            match found == want {
                true => Ok((image, Some(template))),
                false => Err(refused(format!("is {want:?} pixels, but its template {shown} is {found:?}"))),
            }
        })
    }
}

/// A file that is open, and its length then.
struct Opened<'a> {
    path: &'a Path,
    file: File,
    len: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self, String> {
        let (file, len) = plain::open(path).map_err(|error| error.to_string())?;
        Ok(Self { path, file, len })
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        plain::read_open(self.path, &self.file, self.len, self.len).map_err(|error| error.to_string())
    }
}

impl Source for Files {
    fn len(&self) -> usize {
        self.catalogue.entries.len()
    }

    fn hold(&self, index: usize) -> Result<Held<Sample>, DataError> {
        let entry = &self.catalogue.entries[index];
        self.pictures(entry)?.map(|(image, template)| {
            let caption = entry.place.caption.clone();
            Ok(Sample { key: entry.key.clone(), image, template, class: entry.class, caption })
        })
    }

    fn key(&self, index: usize) -> Option<&str> {
        Some(&self.catalogue.entries[index].key)
    }

    fn class(&self, index: usize) -> Option<u32> {
        self.catalogue.entries[index].class
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        let entry = &self.catalogue.entries[index];
        let refused = |reason: String| DataError::bad(entry.name.as_str(), reason);
        let image = Opened::new(&entry.place.image).map_err(refused)?;
        let _room = self.reader.room_for_file(image.len).map_err(refused)?;
        image.read().map(Some).map_err(refused)
    }

    fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        Ok(self.catalogue.entries[index].place.caption.clone())
    }

    fn info(&self) -> &SourceInfo {
        &self.catalogue.info
    }
}

/// An item of this file, or what is wrong with it.
pub(super) fn item(key: String, place: FilePlace, label: Option<Label>) -> Result<Item<FilePlace>, BadFile> {
    let name = place.image.display().to_string();
    let refused = |reason: String| BadFile { key: name.clone(), reason };
    let about = fs::metadata(&place.image).map_err(|error| refused(error.to_string()))?;
    if !about.is_file() {
        return Err(refused("is not a file".into()));
    }
    if let Some(template) = place.template.as_ref().filter(|path| !path.is_file()) {
        return Err(refused(format!("has no template {}", template.display())));
    }
    let (captioned, templated) = (place.caption.is_some(), place.template.is_some());
    Ok(Item { key, size: about.len(), label, captioned, templated, name, place })
}

/// Sorts items from what is wrong, of which there is some already, beside what was passed over.
pub(super) fn gather(
    items: impl Iterator<Item = Result<Item<FilePlace>, BadFile>>,
    rejected: Vec<BadFile>,
    passed: PassedOver,
) -> ScanResult<FilePlace> {
    let mut found = ScanResult { items: Vec::new(), rejected, passed };
    for item in items {
        match item {
            Ok(item) => found.items.push(item),
            Err(bad) => found.rejected.push(bad),
        }
    }
    found
}
