//! Plain files, read within bounds, however they change meanwhile.

use std::{
    fs::{self, File, FileType},
    io::{self, Read},
    os::unix::fs::{FileExt, FileTypeExt},
    path::Path,
};

use crate::DataError;

/// Opens a plain file; its length now comes with it. Devices, pipes, sockets and folders are refused before they are opened, since
/// that alone can wait for ever.
///
/// # Errors
/// [`DataError::Io`] where the system refuses it, [`DataError::Source`] where it is no plain file.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    check(path, fs::metadata(path).map_err(DataError::io(path))?.file_type())?;
    let file = File::open(path).map_err(DataError::io(path))?;
    let about = file.metadata().map_err(DataError::io(path))?;
    check(path, about.file_type())?;
    Ok((file, about.len()))
}

/// The bytes of a plain file of at most `max` bytes: a larger one is refused by its size, and one that grows while it is read by what is
/// read, so that no more than `max` bytes and one are ever held.
///
/// # Errors
/// [`DataError::Io`] where the system refuses it, [`DataError::Source`] where it is no plain file or too large.
///
/// ```
/// let error = vqkit_data::read_file(std::path::Path::new("/dev/zero"), 1 << 20).unwrap_err();
/// assert_eq!(error.to_string(), "/dev/zero: is a device, not a plain file");
/// ```
pub fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, DataError> {
    let (file, len) = open(path)?;
    read_open(path, &file, len, max)
}

/// As [`read_file`] of a file that was opened when it was `len` bytes long.
pub(crate) fn read_open(path: &Path, file: &File, len: u64, max: u64) -> Result<Vec<u8>, DataError> {
    let wrong = |reason: String| DataError::Source { path: path.into(), reason };
    if len > max {
        return Err(wrong(format!("has {len} bytes, more than the {max} that are read")));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len as usize).map_err(|_| wrong(format!("there is no memory for its {len} bytes")))?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(DataError::io(path))?;
    match bytes.len() as u64 > max {
        true => Err(wrong(format!("has more than the {max} bytes that are read"))),
        false => Ok(bytes),
    }
}

/// `len` bytes from `offset` on, whatever position the file is at.
///
/// # Errors
/// As the system's; where the file ends before, one that says that it was cut.
pub(crate) fn read_at(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(size, 0);
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut(file, offset.saturating_add(len))),
        Err(error) => Err(error),
    }
}

fn cut(file: &File, wanted: u64) -> io::Error {
    let now = file.metadata().map_or_else(|_| "before that".to_owned(), |about| format!("at {}", about.len()));
    let reason =
        format!("was cut while it was read: byte {wanted} was asked for, it ends {now} now; put it back as it was");
    io::Error::new(io::ErrorKind::UnexpectedEof, reason)
}

fn check(path: &Path, kind: FileType) -> Result<(), DataError> {
    match kind.is_file() {
        true => Ok(()),
        false => Err(DataError::Source { path: path.into(), reason: format!("is {}, not a plain file", name(kind)) }),
    }
}

fn name(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, part) in [
            (Path::new("/dev/zero"), "is a device, not a plain file"),
            (folder.path(), "is a folder"),
            (&socket, "is a socket"),
            (&folder.path().join("nowhere"), "cannot read"),
        ] {
            let error = read_file(path, 10).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read_file(&path, 10).unwrap_err().to_string().contains("is a pipe"));
    }

    #[test]
    fn the_bound_holds_by_size_and_by_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ten");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_file(&path, 10).unwrap(), [7; 10]);
        assert!(read_file(&path, 9).unwrap_err().to_string().contains("has 10 bytes, more than the 9 that are read"));
        let (file, len) = open(&path).unwrap();
        fs::write(&path, [7; 12]).unwrap();
        assert!(read_open(&path, &file, len, 10).unwrap_err().to_string().contains("has more than the 10 bytes"));
    }
}
