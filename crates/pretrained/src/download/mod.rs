//! Published weights, by name: downloaded once into the user's cache folder, and never used without a check of their
//! checksum.

pub(crate) mod checksum;
pub(crate) mod fetch;
mod known;
pub(crate) mod partial;

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use vqkit_recipe::InvalidRequest;
use vqkit_run::{Observer, RunError, files};

use self::{
    fetch::{Failure, Remote},
    partial::Partial,
};
use crate::error::{FetchError, PretrainedError, Result};

pub use known::{KnownFile, find, known};

/// An environment variable that forbids downloads, if it is neither empty nor 0.
pub(crate) const OFFLINE: &str = "VQKIT_OFFLINE";

/// Prefix of the name of a file that is not complete yet.
const PARTIAL: &str = ".partial-";

/// The path of a known file on this machine; downloads the file if it is missing.
///
/// The folder is `vqkit/weights` in `$XDG_CACHE_HOME`, else in `~/.cache`. With `VQKIT_OFFLINE=1` nothing is
/// downloaded.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use vqkit_pretrained::download;
/// use vqkit_run::{Observer, Silent};
///
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let path = download::fetch(download::find("vgg16")?, &observer)?;
/// println!("{}", path.display());
/// # Ok::<(), vqkit_pretrained::PretrainedError>(())
/// ```
///
/// # Errors
/// Those of [`Cache::user`] and [`Cache::fetch`].
pub fn fetch(file: &KnownFile, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
    Cache::user()?.fetch(file, observer)
}

/// The folder `vqkit` in `$XDG_CACHE_HOME`, else in `~/.cache`, which may not exist yet.
///
/// # Errors
/// [`InvalidRequest`] when neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
pub fn user_folder() -> Result<PathBuf> {
    Ok(caches()?.join("vqkit"))
}

/// `$XDG_CACHE_HOME`, else `~/.cache`.
pub(crate) fn caches() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let message = "neither XDG_CACHE_HOME nor HOME names a folder to keep weights in";
    Ok(caches.ok_or_else(|| InvalidRequest::option("XDG_CACHE_HOME", message))?)
}

/// A folder of downloaded files.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder; created with the first download.
    pub folder: PathBuf,
    /// Whether downloads are forbidden.
    pub offline: bool,
}

impl Cache {
    /// The user's cache, according to the environment.
    ///
    /// # Errors
    /// [`InvalidRequest`] when neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    pub fn user() -> Result<Self> {
        Ok(Self { folder: user_folder()?.join("weights"), offline: is_set(OFFLINE) })
    }

    /// The path of a file in this folder, whether or not it exists.
    pub fn path(&self, file: &KnownFile) -> PathBuf {
        self.folder.join(&*file.file)
    }

    /// The path of a file whose checksum was checked; downloads the file if it is missing.
    ///
    /// A download has a temporary name until it is complete and correct. One that was cut is kept, and the next call
    /// goes on from there.
    ///
    /// # Errors
    /// [`PretrainedError::Checksum`] when the checksum of the existing or the downloaded file is wrong;
    /// [`PretrainedError::Fetch`] when it cannot be downloaded, with instructions to install it by hand; when a file cannot
    /// be written.
    pub fn fetch(&self, file: &KnownFile, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        let wanted = Wanted {
            name: &file.name,
            file: &file.file,
            url: &file.url,
            sha256: Some(&file.sha256),
            bytes: Some(file.bytes),
        };
        Ok(self.obtain(&wanted, observer)?.path)
    }

    /// As [`Cache::fetch`], for files whose checksum need not be known.
    pub(crate) fn obtain(&self, wanted: &Wanted, observer: &Arc<dyn Observer>) -> Result<Obtained> {
        let path = self.folder.join(wanted.file);
        if path.is_file() {
            return existing(path, wanted.sha256);
        }
        if self.offline {
            return Err(self.refusal(wanted, format!("{OFFLINE} forbids the network")));
        }
        let io = |source| RunError::io("write", &path, source);
        fs::create_dir_all(&self.folder).map_err(io)?;
        files::sweep(&self.folder)?;
        let name = format!("{PARTIAL}{}", files::short_name(wanted.file));
        let mut partial = Partial::open(&self.folder.join(name)).map_err(io)?;
        if path.is_file() {
            // Another process was downloading it.
            partial.remove().map_err(io)?;
            return existing(path, wanted.sha256);
        }
        let remote = Remote {
            name: wanted.name,
            url: wanted.url,
            token: None,
            bytes: wanted.bytes,
            is_verified: wanted.sha256.is_some(),
        };
        let (reason, keep) = match fetch::download(&remote, &mut partial, observer) {
            Ok(found) => {
                if let Err(different) = self.check(wanted, &path, &found) {
                    partial.remove().map_err(io)?;
                    return Err(different);
                }
                partial.finish(&path).map_err(io)?;
                return Ok(Obtained { path, sha256: found });
            }
            Err(Failure::Disk(source)) => return Err(io(source).into()),
            Err(Failure::Network(reason)) => (reason, true),
            Err(Failure::Refused(status, _)) => (format!("the server answers with status {status}"), true),
            Err(Failure::Other(reason)) => (reason, false),
        };
        if keep { partial.keep() } else { partial.remove() }.map_err(io)?;
        Err(self.refusal(wanted, reason))
    }

    /// Compares a download with the checksum that is known.
    fn check(&self, wanted: &Wanted, path: &Path, found: &str) -> Result<()> {
        let Some(published) = wanted.sha256 else { return Ok(()) };
        let remedy =
            format!("nothing was kept of what {} sent; try again, or put the right file there by hand", wanted.url);
        checksum::compare(path, published, found, &remedy)
    }

    fn refusal(&self, wanted: &Wanted, reason: String) -> PretrainedError {
        PretrainedError::Fetch(Box::new(FetchError {
            name: wanted.name.to_owned(),
            reason,
            url: wanted.url.to_owned(),
            sha256: wanted.sha256.map(str::to_owned),
            path: self.folder.join(wanted.file),
        }))
    }
}

/// A file to be downloaded.
pub(crate) struct Wanted<'w> {
    /// Its name in messages.
    pub name: &'w str,
    /// Its name in the cache folder.
    pub file: &'w str,
    /// Where it is published.
    pub url: &'w str,
    /// Its checksum, if it is known.
    pub sha256: Option<&'w str>,
    /// Its size, if it is known.
    pub bytes: Option<u64>,
}

/// A file on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Obtained {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// A file that is there, if it is the published one.
fn existing(path: PathBuf, published: Option<&str>) -> Result<Obtained> {
    let found = File::open(&path).and_then(checksum::of);
    let sha256 = found.map_err(|source| RunError::io("read", &path, source))?;
    if let Some(published) = published {
        checksum::compare(&path, published, &sha256, "remove the file, and it is fetched again")?;
    }
    Ok(Obtained { path, sha256 })
}

/// Whether an environment variable is neither empty nor 0.
pub(crate) fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

#[cfg(test)]
mod tests {
    use vqkit_run::Silent;
    use vqkit_testing::{Answer, Server};

    use super::*;

    #[test]
    fn without_a_checksum_a_beginning_counts_only_for_the_same_version() {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().join("weights"), offline: false };
        let begun = |tag: &'static str| {
            let answer = move || Answer { cut: Some(4), ..Answer::new(200, "old one").with("ETag", tag) };
            let cut = Server::start(move |_, _| answer()).unwrap();
            let wanted = Wanted { name: "test", file: "test.ckpt", url: cut.url(), sha256: None, bytes: None };
            let message = cache.obtain(&wanted, &observer).unwrap_err().to_string();
            assert!(message.contains("after 4 bytes") && !message.contains("SHA-256"), "{message}");
        };
        let obtained = |tag: &'static str, body: &'static [u8]| {
            let server = Server::start(move |request, _| Answer::ranged(request, body, tag)).unwrap();
            let wanted = Wanted { name: "test", file: "test.ckpt", url: server.url(), sha256: None, bytes: None };
            let obtained = cache.obtain(&wanted, &observer).unwrap();
            let content = fs::read_to_string(&obtained.path).unwrap();
            fs::remove_file(obtained.path).unwrap();
            let ranges = server.requests().iter().map(|request| request.header("range").to_owned()).collect::<Vec<_>>();
            (content, ranges)
        };
        let range = || vec!["bytes=4-".to_owned()];
        begun("\"v1\"");
        assert_eq!(obtained("\"v1\"", b"old one"), ("old one".to_owned(), range()));
        begun("\"v1\"");
        assert_eq!(obtained("\"v2\"", b"another"), ("another".to_owned(), range()));
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 0);
    }
}
