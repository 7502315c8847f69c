//! A file while it is downloaded: kept when the download is cut, so that the next one goes on from there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::download::checksum::{self, Checksum};

/// The first bytes of a file, which only this process appends to.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Partial {
    /// Opens or creates the file at `path`, and waits while another process downloads it.
    pub fn open(path: &Path) -> io::Result<Self> {
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            lock(&file)?;
            // The process that held the lock may have finished the file, or removed it.
            let own = file.metadata()?;
            match fs::metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => {
                    return Ok(Self { path: path.to_owned(), file, bytes: own.len() });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The number of bytes that are there.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The checksum of the bytes that are there, to be continued with those that follow.
    pub fn checksum(&mut self) -> io::Result<Checksum> {
        self.file.seek(SeekFrom::Start(0))?;
        checksum::continued(&mut self.file)
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Removes all bytes, to begin anew.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.bytes = 0;
        self.remember("")
    }

    /// What the server calls this version of the file, from an earlier call.
    pub fn version(&self) -> Option<String> {
        fs::read_to_string(self.version_path()).ok().filter(|version| !version.is_empty())
    }

    /// Keeps what the server calls this version of the file; nothing, if it has no name.
    pub fn remember(&self, version: &str) -> io::Result<()> {
        match (version, fs::remove_file(self.version_path())) {
            ("", Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            ("", _) => Ok(()),
            (version, _) => fs::write(self.version_path(), version),
        }
    }

    /// Moves the complete file to its place.
    pub fn finish(self, place: &Path) -> io::Result<()> {
        self.remember("")?;
        self.file.sync_all()?;
        fs::rename(&self.path, place)
    }

    /// Removes it.
    pub fn remove(self) -> io::Result<()> {
        self.remember("")?;
        fs::remove_file(&self.path)
    }

    /// Keeps the bytes for the next call; an empty file is removed.
    pub fn keep(self) -> io::Result<()> {
        if self.bytes == 0 { self.remove() } else { self.file.sync_all() }
    }

    fn version_path(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".version");
        self.path.with_file_name(name)
    }
}

/// Waits for the lock; file systems without locks have none to wait for.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => file.lock(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let mut first = Partial::open(&path).unwrap();
        first.append(b"some ").unwrap();
        first.remember("\"v1\"").unwrap();
        first.keep().unwrap();
        let mut second = Partial::open(&path).unwrap();
        assert_eq!((second.bytes(), second.version().as_deref()), (5, Some("\"v1\"")));
        let mut sum = second.checksum().unwrap();
        second.append(b"weights").unwrap();
        sum.update(b"weights");
        // `printf 'some weights' | sha256sum`
        assert_eq!(sum.finish(), "a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766");
        let place = folder.path().join("weights");
        second.finish(&place).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "some weights");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the file is left");
    }

    #[test]
    fn another_process_waits_and_then_finds_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let mut first = Partial::open(&path).unwrap();
        first.append(b"all").unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || Partial::open(&path).unwrap().bytes())
        };
        first.finish(&folder.path().join("weights")).unwrap();
        assert_eq!(waiting.join().unwrap(), 0);
    }

    #[test]
    fn nothing_stays_of_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        Partial::open(&folder.path().join("part")).unwrap().keep().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
