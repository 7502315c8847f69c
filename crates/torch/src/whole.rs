//! Files that are complete or absent.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::TorchError;

/// Writes a file beside `path`, flushes it to the disk and renames it: `path` is the old file or the new one, whatever
/// happens. `write` gets the empty file, and the name that it has until then.
///
/// ```
/// use std::io::Write;
/// use vqkit_torch::{TorchError, write_whole};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("note.txt");
/// write_whole(&path, |mut file, _| file.write_all(b"all of it").map_err(|source| TorchError::Io {
///     action: "write",
///     path: path.clone(),
///     source,
/// }))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "all of it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of `write`; [`TorchError::Io`] when the file cannot be made, flushed or renamed.
pub fn write_whole(path: &Path, write: impl FnOnce(&File, &Path) -> Result<(), TorchError>) -> Result<(), TorchError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || TorchError::io("write", path);
    let file = builder().tempfile_in(folder).map_err(failed())?;
    // While it is locked, nobody sweeps it away as what a dead process left.
    let _ = file.as_file().try_lock();
    write(file.as_file(), file.path())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error))?;
    sync_folder(folder).map_err(failed())
}

/// Temporary files are private by default; one that is written for good is as readable as any other.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-weights-").permissions(Permissions::from_mode(0o666));
    builder
}

/// Makes the new name last through a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
