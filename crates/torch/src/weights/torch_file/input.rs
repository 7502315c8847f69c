//! The bytes of a pickle. What is claimed is never allocated before it is there.

use std::io::{self, BufRead, Read};

/// The longest path of a class or function, number or text that stands on a line of its own.
const MAX_LINE: u64 = 1000;

/// Where the bytes come from.
pub struct Input<'a, R>(pub &'a mut R);

impl<R: BufRead> Input<'_, R> {
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    pub fn length(&mut self, width: u64) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    /// Grows with what is there, not with what is claimed.
    pub fn take(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = self.0.by_ref().take(length).read_to_end(&mut bytes).map_err(unreadable)?;
        if (read as u64) < length { Err(truncated()) } else { Ok(bytes) }
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
