//! The images under a folder.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::endings::Ending;
use crate::{BadFile, DataError, OVERVIEW, PassedOver};

/// The record beside generated samples, whose overviews are for people to look at.
const RECORD: &str = "samples.json";

/// The endings of texts.
pub(super) const TEXTS: [&str; 2] = [".txt", ".TXT"];

/// The images under a folder, as paths relative to it, with `/` between names and in byte order: those that a source would
/// take, so neither hidden files nor files of other kinds.
///
/// # Errors
/// When a folder cannot be listed.
pub fn images_under(folder: &Path) -> Result<Vec<String>, DataError> {
    Ok(Listing::of(folder)?.paths)
}

/// Folders inside folders that are followed.
const MAX_DEPTH: usize = 32;

/// The images under a folder, and what else is there.
#[derive(Default)]
pub(super) struct Listing {
    /// Paths relative to it with `/` between names, in byte order.
    pub paths: Vec<String>,
    /// Pictures that cannot be used, and folders that cannot be listed.
    pub rejected: Vec<BadFile>,
    /// Files that are no pictures.
    pub passed: PassedOver,
    /// Those of them that are texts (`.txt`, `.TXT`), as paths like those of the images.
    pub texts: BTreeSet<String>,
}

impl Listing {
    /// Of everything under `folder`. Hidden files and folders are passed over.
    pub(super) fn of(folder: &Path) -> Result<Self, DataError> {
        let mut walk = Walk { root: folder, listing: Self::default(), above: Vec::new() };
        walk.enter("")?;
        let mut listing = walk.listing;
        listing.paths.sort_unstable();
        Ok(listing)
    }
}

struct Walk<'a> {
    root: &'a Path,
    listing: Listing,
    /// The folders that are being listed, outermost first: what the system calls them, and their paths.
    above: Vec<((u64, u64), PathBuf)>,
}

impl Walk<'_> {
    /// Lists the folder that is `inside` the root.
    fn enter(&mut self, inside: &str) -> Result<(), DataError> {
        let folder = self.root.join(inside);
        let about = fs::metadata(&folder).map_err(DataError::io(&folder))?;
        let identity = (about.dev(), about.ino());
        if let Some((_, outer)) = self.above.iter().find(|(above, _)| *above == identity) {
            let reason = format!("is a link that leads in a circle, back to {}; remove it", outer.display());
            return Err(DataError::Source { path: folder, reason });
        }
        if self.above.len() > MAX_DEPTH {
            let reason = format!("is more than {MAX_DEPTH} folders deep");
            return Err(DataError::Source { path: folder, reason });
        }
        self.above.push((identity, folder.clone()));
        for entry in fs::read_dir(&folder).map_err(DataError::io(&folder))? {
            let entry = entry.map_err(DataError::io(&folder))?;
            self.take(inside, &entry)?;
        }
        self.above.pop();
        Ok(())
    }

    fn take(&mut self, inside: &str, entry: &fs::DirEntry) -> Result<(), DataError> {
        let (path, shown) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let about = fs::metadata(&path).map_err(|error| (error.kind(), error));
        let is_folder = about.as_ref().is_ok_and(Metadata::is_dir);
        let relative = if inside.is_empty() { shown.clone() } else { format!("{inside}/{shown}") };
        match (Ending::of(&shown), about) {
            _ if shown.starts_with('.') => self.listing.passed.add("hidden", 1),
            (ending, _) if entry.file_name().to_str().is_none() => {
                match is_folder || ending != Ending::Other {
                    true => self.reject(&path, "has a name that is not UTF-8; rename it".to_owned()),
                    false => self.listing.passed.add_file(&shown),
                };
            }
            _ if is_folder && shown == OVERVIEW && self.root.join(inside).join(RECORD).is_file() => {
                self.listing.passed.add("overviews of samples", 1);
            }
            _ if is_folder => self.enter(&relative)?,
            // What is wrong with an image is said of it, as of others.
            (Ending::Image, _) => self.listing.paths.push(relative),
            (Ending::Unread(format), _) => self.reject(&path, Ending::refusal(format)),
            (_, Err((kind, error))) if kind != ErrorKind::NotFound => return Err(DataError::io(&path)(error)),
            _ => {
                self.listing.passed.add_file(&shown);
                if TEXTS.iter().any(|ending| shown.ends_with(ending)) {
                    self.listing.texts.insert(relative);
                }
            }
        }
        Ok(())
    }

    fn reject(&mut self, path: &Path, reason: String) {
        self.listing.rejected.push(BadFile { key: path.display().to_string(), reason });
    }
}
