//! The list of a source's samples, without those that cannot be used.

use super::{
    labels::{Classes, Label},
    open::Opening,
};
use crate::{BadFile, DataError, OnError, PassedOver, SourceInfo, TemplateKind};

/// A sample as a scan found it; `place` says where its bytes are.
pub(crate) struct Item<T> {
    /// Its name within the source.
    pub key: String,
    /// Its name in messages.
    pub name: String,
    /// Bytes of the image.
    pub size: u64,
    /// Its label as it stands there.
    pub label: Option<Label>,
    /// Whether it has a caption.
    pub captioned: bool,
    /// Whether it has a template.
    pub templated: bool,
    /// Where its bytes are.
    pub place: T,
}

/// A sample that can be used.
pub(crate) struct Entry<T> {
    /// Its name within the source.
    pub key: String,
    /// Its name in messages.
    pub name: String,
    /// Its class.
    pub class: Option<u32>,
    /// Where its bytes are.
    pub place: T,
}

/// What a scan found, and what was wrong already then.
pub(crate) struct ScanResult<T> {
    /// The samples, in the order that is theirs from now on.
    pub items: Vec<Item<T>>,
    /// What cannot be used.
    pub rejected: Vec<BadFile>,
    /// What is no sample.
    pub passed: PassedOver,
}

/// The samples of a source and what is known about them.
pub(crate) struct Catalogue<T> {
    /// The samples.
    pub entries: Vec<Entry<T>>,
    /// What is known about them.
    pub info: SourceInfo,
}

impl<T> Catalogue<T> {
    /// Sorts out what cannot be used: empty and enormous files, labels that name no class, and samples without a label, a caption or a
    /// template where these are needed.
    ///
    /// # Errors
    /// [`DataError::Bad`] at the first of these under `on_error = "fail"`, [`DataError::TooManyErrors`] above `max_error_rate`.
    pub(crate) fn new(
        found: ScanResult<T>,
        template: Option<TemplateKind>,
        opening: &Opening,
    ) -> Result<Self, DataError> {
        let ScanResult { items, mut rejected, passed } = found;
        let total = items.len() + rejected.len();
        let classes = Classes::new(opening.class_names.as_deref(), items.iter().filter_map(|item| item.label.as_ref()));
        let mut hasher = blake3::Hasher::new();
        let mut info = SourceInfo { template, passed_over: passed, ..SourceInfo::default() };
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            match class_of(&item, &classes, opening) {
                Err(reason) => rejected.push(BadFile { key: item.name, reason }),
                Ok(class) => {
                    hash(&mut hasher, &item, class);
                    info.has_captions |= item.captioned;
                    entries.push(Entry { key: item.key, name: item.name, class, place: item.place });
                }
            }
        }
        check_rejected(&rejected, total, opening)?;
        info.class_names = classes.names().to_vec();
        info.num_classes = classes.count();
        info.rejected = rejected;
        info.fingerprint = hasher.finalize().to_hex().to_string();
        Ok(Self { entries, info })
    }
}

fn class_of<T>(item: &Item<T>, classes: &Classes, opening: &Opening) -> Result<Option<u32>, String> {
    opening.reader.check_file(item.size)?;
    match (item.size, &item.label) {
        (0, _) => Err("is empty".into()),
        _ if opening.require_caption && !item.captioned => {
            Err("has no caption, and this recipe conditions on text".into())
        }
        _ if opening.require_template && !item.templated => {
            Err("has no template, and this recipe conditions on templates".into())
        }
        (_, None) if opening.require_class => Err("has no class label, and this recipe conditions by class".into()),
        (_, None) => Ok(None),
        (_, Some(label)) => classes.resolve(label).map(Some),
    }
}

fn hash<T>(hasher: &mut blake3::Hasher, item: &Item<T>, class: Option<u32>) {
    hasher.update(&(item.key.len() as u64).to_le_bytes());
    hasher.update(item.key.as_bytes());
    hasher.update(&item.size.to_le_bytes());
    hasher.update(&class.map_or(-1, i64::from).to_le_bytes());
}

fn check_rejected(rejected: &[BadFile], total: usize, opening: &Opening) -> Result<(), DataError> {
    let max_error_rate = opening.max_error_rate;
    match (rejected.first(), opening.on_error) {
        (Some(first), OnError::Fail) => Err(DataError::Bad(first.clone())),
        (Some(first), OnError::Skip) if rejected.len() as f64 > max_error_rate * total as f64 => {
            Err(DataError::TooManyErrors { bad: rejected.len(), total, max_error_rate, first: first.clone() })
        }
        _ => Ok(()),
    }
}
