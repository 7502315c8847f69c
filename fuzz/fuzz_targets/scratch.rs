//! The file that a target reads, in the folder for temporary files; TMPDIR=/dev/shm keeps it in memory.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

static FOLDER: OnceLock<TempDir> = OnceLock::new();

/// A file with these bytes, the same in every run of the target.
pub fn file(bytes: &[u8]) -> PathBuf {
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("the folder for temporary files can be written"));
    let path = folder.path().join("input");
    fs::write(&path, bytes).expect("the folder for temporary files has space");
    path
}
