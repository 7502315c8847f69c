//! A part of a file, read from its beginning to its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// The part between two places; reading it moves no position of the file's own.
pub struct Section<'f> {
    file: &'f File,
    position: u64,
    end: u64,
    checksum: crc32fast::Hasher,
}

impl<'f> Section<'f> {
    pub fn new(file: &'f File, begin: u64, end: u64) -> Self {
        Self { file, position: begin, end, checksum: crc32fast::Hasher::new() }
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// The checksum of the bytes that were read.
    pub fn checksum(&self) -> u32 {
        self.checksum.clone().finalize()
    }
}

impl Read for Section<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(to.len());
        let read = self.file.read_at(&mut to[..most], self.position)?;
        self.checksum.update(&to[..read]);
        self.position += read as u64;
        Ok(read)
    }
}
