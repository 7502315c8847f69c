//! Single files, written atomically.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Result, error::RunError, files::names::LINK, files::place::move_without_replacing,
    files::temporary::Temporary,
};

/// Writes a file atomically: under a temporary name first, synced, then renamed over an existing one.
///
/// # Errors
/// When its folder is not there, or the system refuses.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes).map_err(|source| RunError::io("write", path, source)))
}

/// As [`write()`], where `fill` writes the content.
///
/// # Errors
/// As [`write()`]; those of `fill`, after which an existing file is unchanged.
pub fn write_with<E: From<RunError>>(path: &Path, fill: impl FnOnce(&mut File) -> Result<(), E>) -> Result<(), E> {
    let io = |source| RunError::io("write", path, source);
    let (beside, mut file) = Temporary::file(path).map_err(io)?;
    fill(&mut file)?;
    file.sync_all().map_err(io)?;
    Ok(beside.finish(|from| fs::rename(from, path)).map_err(io)?)
}

/// Lets `fill` write a file that appears at `path` when it is complete, and never replaces another.
///
/// # Errors
/// When `path` exists, `fill` fails, or the system refuses.
pub fn create_file<E: From<RunError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let io = |source| RunError::io("create", path, source);
    let (beside, _) = Temporary::file(path).map_err(io)?;
    fill(beside.path())?;
    Ok(beside.finish(|from| move_without_replacing(from, path)).map_err(io)?)
}

/// Writes a value as indented JSON with a line end.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|source| RunError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// The text of a regular file of at most this many bytes.
///
/// # Errors
/// When it cannot be read, is a folder, a device or a pipe, is longer, or is not UTF-8.
pub fn read_text(path: &Path, longest: u64) -> Result<String> {
    let bytes = vqkit_data::read_file(path, longest)?;
    String::from_utf8(bytes).map_err(|_| RunError::artifact(path, "is not UTF-8 text"))
}

/// Reads a JSON file.
///
/// # Errors
/// As [`read_text`]; when its content is of another form.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path, LONGEST_JSON)?;
    serde_json::from_str(&text).map_err(|source| RunError::Json { path: path.to_owned(), source })
}

/// Points the symbolic link `link` at `target` (the name of a sibling), replacing an existing link atomically.
///
/// # Errors
/// When the system refuses.
pub fn point(link: &Path, target: &str) -> Result<()> {
    let pointed = Temporary::link(link, target).and_then(|beside| beside.finish(|from| fs::rename(from, link)));
    pointed.map_err(|source| RunError::io("link", link, source))
}

/// Opens a file of a run for writing, with these `options`; a link is refused, since it may lead out of the run.
///
/// # Errors
/// When the path is a link, or the system refuses.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32).open(path);
    opened.map_err(|source| match path.is_symlink() {
        true => RunError::artifact(path, LINK),
        false => RunError::io("open", path, source),
    })
}

/// Largest size of a JSON file in bytes: enough for some millions of samples.
const LONGEST_JSON: u64 = 1 << 32;
