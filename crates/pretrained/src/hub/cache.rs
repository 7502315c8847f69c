//! The cache of one repository, in the layout of Python's `huggingface_hub`: `blobs/` holds files by their hash,
//! `snapshots/COMMIT/` links to them by their names, `refs/` holds the commits of branches.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use hf_hub::{CacheRepo, Repo, RepoType};
use vqkit_run::RunError;

use crate::{
    error::Result,
    hub::{environment::Hub, location::HubPath},
};

/// The folders of one repository at one revision.
pub struct RepositoryCache {
    /// The folder of the repository, which is named after it.
    folder: PathBuf,
    /// The folder of locks, beside those of all repositories.
    locks: PathBuf,
    revision: String,
    layout: CacheRepo,
}

impl RepositoryCache {
    /// The cache of a location's repository.
    pub fn new(hub: &Hub, location: &HubPath) -> Self {
        let repo = Repo::with_revision(location.repository.clone(), RepoType::Model, location.revision.clone());
        let name = repo.folder_name();
        Self {
            folder: hub.folder.join(&name),
            locks: hub.folder.join(".locks").join(name),
            revision: location.revision.clone(),
            layout: hf_hub::Cache::new(hub.folder.clone()).repo(repo),
        }
    }

    /// The commit that the revision stands for: itself, or the one that the cache has of a branch or tag.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(&self.revision)).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// A file or folder of the revision, if it is there; `None` inside the repository is the snapshot itself.
    pub fn find(&self, inside: Option<&str>) -> Option<PathBuf> {
        let path = self.place(&self.commit()?, inside);
        path.exists().then_some(path)
    }

    /// Where a file or folder of a commit belongs.
    pub fn place(&self, commit: &str, inside: Option<&str>) -> PathBuf {
        let snapshot = self.layout.pointer_path(commit);
        inside.map_or_else(|| snapshot.clone(), |inside| snapshot.join(inside))
    }

    /// The path of the content with this hash.
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// The path of such a content while it is downloaded.
    pub fn incomplete(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{hash}.incomplete"))
    }

    /// Waits until no other program downloads the content with this hash, and keeps others waiting until it is dropped.
    pub fn lock(&self, hash: &str) -> Result<File> {
        let path = self.locks.join(format!("{hash}.lock"));
        let lock = || -> io::Result<File> {
            fs::create_dir_all(&self.locks)?;
            fs::create_dir_all(self.folder.join("blobs"))?;
            let file = File::create(&path)?;
            // On file systems without locks there is nothing to wait for.
            let _ = file.lock();
            Ok(file)
        };
        Ok(lock().map_err(|source| RunError::io("lock", &path, source))?)
    }

    /// Makes a file of a commit a link to the content with this hash; gives its path.
    pub fn link(&self, commit: &str, inside: &str, hash: &str) -> Result<PathBuf> {
        let place = self.place(commit, Some(inside));
        // From the folder of the file over those of the commit and of all snapshots.
        let up = "../".repeat(inside.split('/').count() + 1);
        let link = || -> io::Result<()> {
            if place.exists() {
                return Ok(());
            }
            if let Some(folder) = place.parent() {
                fs::create_dir_all(folder)?;
            }
            if place.is_symlink() {
                fs::remove_file(&place)?;
            }
            symlink(Path::new(&format!("{up}blobs/{hash}")), &place)
        };
        match link() {
            // Another program was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(place),
            linked => linked.map(|()| place.clone()).map_err(|source| RunError::io("link", &place, source).into()),
        }
    }

    /// Notes the commit that the revision stands for.
    pub fn point(&self, commit: &str) -> Result<()> {
        if is_commit(&self.revision) {
            return Ok(());
        }
        let refs = self.folder.join("refs");
        let pointed = self.layout.create_ref(commit);
        Ok(pointed.map_err(|source| RunError::io("write", &refs.join(&self.revision), source))?)
    }
}

/// Whether this is a commit: 40 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}
