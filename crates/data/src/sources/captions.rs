//! Captions of images that are files: a text of the same name beside each.

use std::{collections::BTreeSet, path::Path};

use super::listing::TEXTS;
use super::text::{present, utf8};
use crate::{PassedOver, read_file};

/// Bytes of a caption.
const MAX_BYTES: u64 = 1 << 20;

/// The texts in a folder, which captions are read from.
pub(super) struct Captions<'a> {
    folder: &'a Path,
    texts: BTreeSet<String>,
    taken: usize,
}

impl<'a> Captions<'a> {
    /// `texts`: paths inside `folder`.
    pub fn new(folder: &'a Path, texts: BTreeSet<String>) -> Self {
        Self { folder, texts, taken: 0 }
    }

    /// The caption of the image at a path inside the folder: `0001.txt` for `0001.jpg`. A blank text is none.
    ///
    /// # Errors
    /// In words: what is wrong with the text.
    pub fn take(&mut self, image: &str) -> Result<Option<String>, String> {
        let stem = image.rsplit_once('.').map_or(image, |(stem, _)| stem);
        let mut names = TEXTS.iter().map(|ending| format!("{stem}{ending}"));
        let Some(name) = names.find(|name| self.texts.contains(name)) else { return Ok(None) };
        self.taken += 1;
        let path = self.folder.join(name);
        let wrong = |reason: String| format!("its caption {}: {reason}", path.display());
        let bytes = read_file(&path, MAX_BYTES).map_err(|error| wrong(error.to_string()))?;
        Ok(present(&utf8(bytes).map_err(wrong)?))
    }

    /// Leaves in `passed` only the texts that belong to no image.
    pub fn leave_in(self, passed: &mut PassedOver) {
        passed.take_back(TEXTS[0], self.taken);
    }
}
