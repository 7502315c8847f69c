//! Published weights, by name: downloaded once into the user's cache folder, and never used without a check of their
//! checksum.

mod checksum;
mod fetch;
mod known;

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
};

use vqkit_recipe::InvalidRequest;
use vqkit_run::{Observer, RunError, files};

use crate::error::{FetchError, ModelError, Result};

pub use known::{KnownFile, find, known};

/// An environment variable that forbids downloads, if it is neither empty nor 0.
const OFFLINE: &str = "VQKIT_OFFLINE";

/// The path of a known file on this machine; downloads the file if it is missing.
///
/// The folder is `vqkit/weights` in `$XDG_CACHE_HOME`, else in `~/.cache`. With `VQKIT_OFFLINE=1` nothing is
/// downloaded.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use vqkit_models::download;
/// use vqkit_run::{Observer, Silent};
///
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let path = download::fetch(download::find("vgg16")?, &observer)?;
/// let tensors = vqkit_torch::weights::read_any(&path)?;
/// # Ok::<(), vqkit_models::ModelError>(())
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
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let message = "neither XDG_CACHE_HOME nor HOME names a folder to keep weights in";
    Ok(caches.ok_or_else(|| InvalidRequest::option("XDG_CACHE_HOME", message))?.join("vqkit"))
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
        let offline = env::var_os(OFFLINE).is_some_and(|value| !value.is_empty() && value != "0");
        Ok(Self { folder: user_folder()?.join("weights"), offline })
    }

    /// The path of a file in this folder, whether or not it exists.
    pub fn path(&self, file: &KnownFile) -> PathBuf {
        self.folder.join(&*file.file)
    }

    /// The path of a file whose checksum was checked; downloads the file if it is missing.
    ///
    /// A download is written under a temporary name and renamed when it is complete and correct.
    ///
    /// # Errors
    /// [`ModelError::Checksum`] when the checksum of the existing or the downloaded file is wrong;
    /// [`ModelError::Fetch`] when it cannot be downloaded, with instructions to install it by hand; when a file cannot
    /// be written.
    pub fn fetch(&self, file: &KnownFile, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        let path = self.path(file);
        if path.is_file() {
            let found = File::open(&path).and_then(checksum::of);
            let found = found.map_err(|source| RunError::io("read", &path, source))?;
            let remedy = "remove the file, and it is fetched again";
            return checksum::compare(&path, &file.sha256, &found, remedy).map(|()| path);
        }
        if self.offline {
            return Err(self.refusal(file, format!("{OFFLINE} forbids the network")));
        }
        let io = |source| RunError::io("write", &path, source);
        fs::create_dir_all(&self.folder).map_err(io)?;
        files::sweep(&self.folder)?;
        files::write_with(&path, |target| {
            let found = fetch::download(file, target, observer).map_err(|failure| match failure {
                fetch::Failure::Network(reason) => self.refusal(file, reason),
                fetch::Failure::Disk(source) => io(source).into(),
            })?;
            let remedy =
                format!("nothing was kept of what {} sent; try again, or put the right file there by hand", file.url);
            checksum::compare(&path, &file.sha256, &found, &remedy)
        })?;
        Ok(path)
    }

    fn refusal(&self, file: &KnownFile, reason: String) -> ModelError {
        ModelError::Fetch(Box::new(FetchError {
            name: file.name.to_string(),
            reason,
            url: file.url.to_string(),
            sha256: file.sha256.to_string(),
            path: self.path(file),
        }))
    }
}
