//! Weights that others trained, by name: fetched once into the user's cache folder, and never used unchecked.

mod checksum;
mod download;
mod known;

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
};

pub use known::{KnownFile, find, known};

use crate::{
    error::{PipelineError, Result},
    files,
};

/// Set to anything but nothing or 0, it forbids the network.
const OFFLINE: &str = "VQKIT_OFFLINE";

/// Where a known file lies on this machine; it is fetched where it does not lie there yet.
///
/// The folder is `vqkit/weights` in `$XDG_CACHE_HOME`, else in `~/.cache`. With `VQKIT_OFFLINE=1` nothing is fetched.
///
/// ```no_run
/// use vqkit_pipeline::pretrained;
///
/// let path = pretrained::fetch(pretrained::find("vgg16")?)?;
/// let tensors = vqkit_torch::weights::read_any(&path)?;
/// # Ok::<(), vqkit_pipeline::PipelineError>(())
/// ```
///
/// # Errors
/// Those of [`Cache::user`] and [`Cache::fetch`].
pub fn fetch(file: &KnownFile) -> Result<PathBuf> {
    Cache::user()?.fetch(file)
}

/// The folder `vqkit` in `$XDG_CACHE_HOME`, else in `~/.cache`, which may not be there yet.
///
/// # Errors
/// [`PipelineError::Usage`] when neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
pub fn user_folder() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let message = "neither XDG_CACHE_HOME nor HOME names a folder to keep weights in";
    Ok(caches.ok_or_else(|| PipelineError::Usage(message.into()))?.join("vqkit"))
}

/// A folder of fetched files.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder; made when the first file is fetched.
    pub folder: PathBuf,
    /// Whether nothing may be fetched.
    pub offline: bool,
}

impl Cache {
    /// The user's own, as the environment tells.
    ///
    /// # Errors
    /// [`PipelineError::Usage`] when neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    pub fn user() -> Result<Self> {
        let offline = env::var_os(OFFLINE).is_some_and(|value| !value.is_empty() && value != "0");
        Ok(Self { folder: user_folder()?.join("weights"), offline })
    }

    /// Where a file lies, or will lie, in this folder.
    pub fn path(&self, file: &KnownFile) -> PathBuf {
        self.folder.join(&*file.file)
    }

    /// The path of a file, whose checksum was compared; fetches the file where it is not there yet.
    ///
    /// A download is written beside its place and renamed when it is complete and right.
    ///
    /// # Errors
    /// [`PipelineError::Checksum`] when the file that is there, or the one that came, is another;
    /// [`PipelineError::Fetch`] when it cannot be had, which says what to put where by hand; [`PipelineError::Io`].
    pub fn fetch(&self, file: &KnownFile) -> Result<PathBuf> {
        let path = self.path(file);
        if path.is_file() {
            let found = File::open(&path).and_then(checksum::of);
            let found = found.map_err(|source| PipelineError::io("read", &path, source))?;
            let remedy = "remove the file, and it is fetched again";
            return checksum::compare(&path, &file.sha256, &found, remedy).map(|()| path);
        }
        if self.offline {
            return Err(self.refusal(file, format!("{OFFLINE} forbids the network")));
        }
        let io = |source| PipelineError::io("write", &path, source);
        fs::create_dir_all(&self.folder).map_err(io)?;
        files::sweep(&self.folder)?;
        files::write_with(&path, |target| {
            let found = download::download(file, target).map_err(|failure| match failure {
                download::Failure::Network(reason) => self.refusal(file, reason),
                download::Failure::Disk(source) => io(source),
            })?;
            let remedy =
                format!("nothing was kept of what {} sent; try again, or put the right file there by hand", file.url);
            checksum::compare(&path, &file.sha256, &found, &remedy)
        })?;
        Ok(path)
    }

    fn refusal(&self, file: &KnownFile, reason: String) -> PipelineError {
        PipelineError::Fetch {
            name: file.name.to_string(),
            reason,
            url: file.url.to_string(),
            sha256: file.sha256.to_string(),
            path: self.path(file),
        }
    }
}
