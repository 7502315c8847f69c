//! Tar archives in WebDataset layout, read in place; nothing is unpacked.

mod braces;
mod cache;
mod end;
mod group;
mod index;
mod member_text;
mod scan;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::index::{Index, Span};
use super::catalogue::{Catalogue, Entry, Item, ScanResult};
use super::open::{DataKeys, OpenSource, Opening};
use super::text::present;
use crate::{DataError, Held, PassedOver, PictureReader, Sample, Source, SourceInfo, budget::Reservation, plain};

/// `type = "tar"`: uncompressed tar archives in WebDataset layout. The files of one sample follow each other and share
/// their name up to the first dot that no digit follows: an image (with an ending as in folders), its class (`.cls`: a
/// number or a name), its caption (`.txt`), and `.json`, whose `class` and `caption` are used where those files are missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TarConfig {
    /// Archives of the training samples, relative to `data.root`; braces stand for several, as in
    /// `train-{000..009}.tar` or `{a,b}.tar`.
    pub train: String,
    /// Archives of the validation samples, in the same notation. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
}

impl OpenSource for TarConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        braces::expand(&self.train).map_err(|reason| DataError::config("source.train", reason))?;
        match &self.validation {
            Some(pattern) => {
                braces::expand(pattern).map(drop).map_err(|reason| DataError::config("source.validation", reason))
            }
            None => Ok(()),
        }
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        open("source.train", &self.train, opening)
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        self.validation.as_ref().map(|pattern| open("source.validation", pattern, opening)).transpose()
    }
}

fn open(field: &'static str, pattern: &str, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
    let names = braces::expand(pattern).map_err(|reason| DataError::config(field, reason))?;
    let paths: Vec<PathBuf> = names.iter().map(|name| opening.root.join(name)).collect();
    Ok(Arc::new(TarShards::open(&paths, opening)?))
}

/// Where the parts of a sample are.
struct TarPlace {
    shard: usize,
    image: Span,
    caption: Option<Span>,
    json: Option<Span>,
}

/// Several archives as one source.
struct TarShards {
    shards: Vec<File>,
    catalogue: Catalogue<TarPlace>,
    reader: PictureReader,
}

impl TarShards {
    fn open(paths: &[PathBuf], opening: &Opening) -> Result<Self, DataError> {
        let mut found = ScanResult { items: Vec::new(), rejected: Vec::new(), passed: PassedOver::default() };
        let mut shards = Vec::with_capacity(paths.len());
        for (shard, path) in paths.iter().enumerate() {
            let (file, _) = plain::open(path)?;
            let index = cache::index(path, &file)?;
            add(&mut found, index, path, shard);
            shards.push(file);
        }
        let catalogue = Catalogue::new(found, None, opening)?;
        match (catalogue.entries.is_empty(), paths.first()) {
            (true, Some(path)) => {
                let reason = format!("holds no sample that can be used{}", catalogue.info.passed_over.instead());
                Err(DataError::Source { path: path.clone(), reason })
            }
            _ => Ok(Self { shards, catalogue, reader: opening.reader.clone() }),
        }
    }

    /// The bytes of an image, and room for them.
    fn image(&self, entry: &Entry<TarPlace>) -> Result<(Vec<u8>, Reservation), DataError> {
        let (TarPlace { shard, image, .. }, name) = (&entry.place, entry.name.as_str());
        let room = self.reader.room_for_file(image.len).map_err(|reason| DataError::bad(name, reason))?;
        let bytes = plain::read_at(&self.shards[*shard], image.offset, image.len);
        Ok((bytes.map_err(|error| DataError::bad(name, error.to_string()))?, room))
    }

    fn caption(&self, place: &TarPlace) -> io::Result<Option<String>> {
        let shard = &self.shards[place.shard];
        match (place.caption, place.json) {
            (Some(span), _) => member_text::read_text(shard, span).map(|text| present(&text)),
            (None, Some(span)) => Ok(member_text::read_json(shard, span)?.caption),
            (None, None) => Ok(None),
        }
    }
}

impl Source for TarShards {
    fn len(&self) -> usize {
        self.catalogue.entries.len()
    }

    fn hold(&self, index: usize) -> Result<Held<Sample>, DataError> {
        let entry = &self.catalogue.entries[index];
        let failed = |error: io::Error| DataError::bad(entry.name.as_str(), error.to_string());
        let (bytes, _room) = self.image(entry)?;
        let caption = self.caption(&entry.place);
        self.reader.decode(&bytes, &entry.name)?.map(|image| {
            let caption = caption.map_err(failed)?;
            Ok(Sample { key: entry.key.clone(), image, class: entry.class, caption, template: None })
        })
    }

    fn key(&self, index: usize) -> Option<&str> {
        Some(&self.catalogue.entries[index].key)
    }

    fn class(&self, index: usize) -> Option<u32> {
        self.catalogue.entries[index].class
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        let (bytes, _room) = self.image(&self.catalogue.entries[index])?;
        Ok(Some(bytes))
    }

    fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        let entry = &self.catalogue.entries[index];
        let caption = TarShards::caption(self, &entry.place);
        caption.map_err(|error| DataError::bad(entry.name.as_str(), error.to_string()))
    }

    fn info(&self) -> &SourceInfo {
        &self.catalogue.info
    }
}

fn add(found: &mut ScanResult<TarPlace>, index: Index, path: &Path, shard: usize) {
    let archive = path.display();
    found.rejected.extend(index.rejected.into_iter().map(|mut bad| {
        bad.key = format!("{archive}: {}", bad.key);
        bad
    }));
    found.passed.extend(&index.passed);
    found.items.extend(index.members.into_iter().map(|member| Item {
        name: format!("{archive}: {}", member.image_name),
        size: member.image.len,
        label: member.label,
        captioned: member.caption.is_some() || member.json_caption,
        templated: false,
        place: TarPlace { shard, image: member.image, caption: member.caption, json: member.json },
        key: member.key,
    }));
}
