//! Files and folders that are complete or absent: written beside their place, then renamed into it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{PipelineError, Result};

/// Writes a whole file: beside its place first, synced, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = temporary_name(path);
    let written = (|| -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| PipelineError::io("write", path, source))
}

/// Writes a value as indented JSON with a line end.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|source| PipelineError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Reads a JSON file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| PipelineError::io("read", path, source))?;
    serde_json::from_str(&text).map_err(|source| PipelineError::Json { path: path.to_owned(), source })
}

/// Fills a folder under a temporary name and renames it into place. A folder that stands there already is replaced.
pub fn create_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let beside = temporary_name(path);
    let io = |source| PipelineError::io("create", path, source);
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(io)?;
    }
    fs::create_dir_all(&beside).map_err(io)?;
    fill(&beside)?;
    if path.exists() {
        fs::remove_dir_all(path).map_err(io)?;
    }
    fs::rename(&beside, path).map_err(io)?;
    sync_parent(path).map_err(io)
}

/// Points the symbolic link `link` at `target` (a sibling's name), replacing what it pointed at in one move.
pub fn point(link: &Path, target: &str) -> Result<()> {
    let beside = temporary_name(link);
    let pointed = (|| -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &beside)?;
        fs::rename(&beside, link)
    })();
    pointed.map_err(|source| PipelineError::io("link", link, source))
}

/// Removes what a killed process left under a temporary name in `folder`.
pub fn sweep(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|source| PipelineError::io("remove", &path, source))?;
        }
    }
    Ok(())
}

const TEMPORARY: &str = ".writing-";

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY}{name}"))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { here } else { parent });
    parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
