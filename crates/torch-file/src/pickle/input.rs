//! The bytes of a pickle. What is claimed is never allocated before it is there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use crate::section::Section;

/// The longest path of a class or function, number or text that stands on a line of its own.
const MAX_LINE: u64 = 1000;

/// A part of a file with one pickle, or several, from its beginning on.
pub struct Input<'f>(BufReader<Section<'f>>);

impl<'f> Input<'f> {
    pub fn new(file: &'f File, begin: u64, end: u64) -> Self {
        Self(BufReader::new(Section::new(file, begin, end)))
    }

    /// The place in the file of the next byte.
    pub fn position(&self) -> u64 {
        self.0.get_ref().position() - self.0.buffer().len() as u64
    }

    /// The bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.0.get_ref().left() + self.0.buffer().len() as u64
    }

    /// The checksum of all bytes, once all are read.
    pub fn checksum(&self) -> u32 {
        self.0.get_ref().checksum()
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// A little-endian number of `width` bytes, 8 at most.
    pub fn length(&mut self, width: u64) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    pub fn take(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let available = usize::try_from(length).ok().filter(|_| length <= self.left());
        let mut bytes = vec![0; available.ok_or_else(truncated)?];
        self.0.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    pub fn skip(&mut self, length: u64) -> Result<(), String> {
        let skipped = io::copy(&mut self.0.by_ref().take(length), &mut io::sink()).map_err(unreadable)?;
        if skipped < length { Err(truncated()) } else { Ok(()) }
    }

    pub fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        self.0.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.pop() != Some(b'\n') {
            return Err(if line.len() as u64 + 1 < MAX_LINE {
                truncated()
            } else {
                "its pickle has an endless line".into()
            });
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
    }
}

fn truncated() -> String {
    "it is truncated: it ends in the middle of its pickle".into()
}

fn unreadable(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        truncated()
    } else {
        format!("its pickle cannot be read: {error}")
    }
}
