//! SHA-256 of files.

use std::{
    fmt::Write,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    error::{ChecksumError, PretrainedError},
};

/// A checksum that is computed incrementally.
#[derive(Debug, Default)]
pub struct Checksum(Sha256);

impl Checksum {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }
}

/// The checksum of everything that a reader returns.
pub fn of(reader: impl Read) -> io::Result<String> {
    continued(reader).map(Checksum::finish)
}

/// As [`of`], to be continued with further bytes.
pub fn continued(mut reader: impl Read) -> io::Result<Checksum> {
    let mut sum = Checksum::default();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(sum),
            read => sum.update(&chunk[..read]),
        }
    }
}

/// Refuses a file whose checksum differs from the published one.
pub fn compare(path: &Path, wanted: &str, found: &str, remedy: &str) -> Result<()> {
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(PretrainedError::Checksum(Box::new(ChecksumError {
        path: path.to_owned(),
        wanted: wanted.to_owned(),
        found: found.to_owned(),
        remedy: remedy.to_owned(),
    })))
}
