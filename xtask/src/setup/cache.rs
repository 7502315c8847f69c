//! The user's cache folder, where one libtorch serves all checkouts of the machine.
//!
//! Nothing is built in place: work goes on in a folder whose name starts with `partial-` and ends with a rename. A lock,
//! which the system releases when its holder dies, lets one set-up work at a time; so a partial folder found under the
//! lock is a killed set-up's, and goes.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::terminal::{complain, say};

const PARTIAL: &str = "partial-";

/// The cache folder, locked.
#[derive(Debug)]
pub struct Cache {
    /// The folder, absolute.
    pub folder: PathBuf,
    _lock: File,
}

impl Cache {
    /// Makes and locks the user's cache folder; waits where another set-up is at work.
    pub fn lock() -> Result<Self> {
        Self::lock_at(folder()?)
    }

    /// As [`Cache::lock`], in this folder.
    pub fn lock_at(folder: PathBuf) -> Result<Self> {
        let explain = || format!("cannot use the cache folder {} (XDG_CACHE_HOME moves it)", folder.display());
        fs::create_dir_all(&folder).with_context(explain)?;
        let lock = File::create(folder.join("lock")).with_context(explain)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            say!("waiting for another set-up to end …");
            lock.lock().with_context(explain)?;
        }
        let cache = Self { folder, _lock: lock };
        cache.remove_partial()?;
        Ok(cache)
    }

    /// A new empty folder to work in, on the same disk.
    pub fn partial(&self) -> Result<Partial> {
        let path = self.folder.join(format!("{PARTIAL}{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Partial { path })
    }

    fn remove_partial(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL)) {
                say!("removing what an interrupted set-up left: {}", path.display());
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// A folder to work in, removed at the end.
#[derive(Debug)]
pub struct Partial {
    /// The folder, absolute.
    pub path: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            complain!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn folder() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| {
        let home = absolute("HOME")?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    });
    Ok(user.context("neither XDG_CACHE_HOME nor HOME names a folder to keep libtorch in")?.join("vqkit/libtorch"))
}

/// The bytes that the files below `folder` take; hard links of one file count once.
pub fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if seen.insert(identity(&entry.path(), &metadata)) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

/// What the hard links of one file have in common.
#[cfg(unix)]
fn identity(_path: &Path, metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(path: &Path, _metadata: &fs::Metadata) -> PathBuf {
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_set_up_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("partial-1/lib")).unwrap();
        fs::create_dir_all(folder.path().join("2.11.0-linux-x86_64/lib")).unwrap();
        Cache::lock_at(folder.path().into()).unwrap();
        assert!(!folder.path().join("partial-1").exists());
        assert!(folder.path().join("2.11.0-linux-x86_64/lib").exists());
    }

    #[test]
    fn one_set_up_works_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::lock_at(folder.path().into()).unwrap();
        let second = File::open(folder.path().join("lock")).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(cache);
        second.try_lock().unwrap();
    }

    #[test]
    fn a_hard_link_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one"), [0; 1000]).unwrap();
        fs::hard_link(folder.path().join("one"), folder.path().join("two")).unwrap();
        let part = folder.path().join("part");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("three"), [0; 10]).unwrap();
        fs::hard_link(part.join("three"), folder.path().with_extension("elsewhere")).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 1010);
        fs::remove_file(folder.path().with_extension("elsewhere")).unwrap();
    }
}
