//! Little-endian numbers out of the records of a zip archive.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A record, read from its beginning on.
pub struct Record<'b>(pub &'b [u8]);

impl<'b> Record<'b> {
    pub fn take(&mut self, length: usize) -> Result<&'b [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("its archive is broken: a record is too short")?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn skip(&mut self, length: usize) -> Result<(), String> {
        self.take(length).map(drop)
    }

    pub fn u16(&mut self) -> Result<u16, String> {
        Ok(self.number(2)? as u16)
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        Ok(self.number(4)? as u32)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.number(8)
    }

    fn number(&mut self, width: usize) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Fills `to` from `begin` on.
pub fn read_at(file: &File, to: &mut [u8], begin: u64) -> Result<(), String> {
    file.read_exact_at(to, begin).map_err(|error| format!("its archive cannot be read at {begin}: {error}"))
}
