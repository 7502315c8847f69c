//! The header of a safetensors file, compared with the file's length. Nothing here knows libtorch, so that it can be fuzzed alone.

use std::fs::File;
use std::io::{self, Read};

use safetensors::tensor::Metadata;

/// The bytes that hold the header's length.
pub const PREFIX: usize = 8;
/// The longest header, in bytes; safetensors' own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Why a header was not read.
#[derive(Debug)]
pub enum HeaderError {
    /// The system refused to read it.
    Io(io::Error),
    /// The file is none of safetensors.
    Foreign(String),
    /// The header is broken, or the file not as long as it says.
    Broken(String),
}

/// A file as far as its header goes.
#[derive(Debug)]
pub struct Start {
    /// The prefix and the header.
    pub bytes: Vec<u8>,
    /// The whole file's length in bytes.
    pub length: u64,
}

/// Reads a file as far as its header goes, after comparing the length that it claims with that of the file.
pub fn start(file: &mut File) -> Result<Start, HeaderError> {
    let length = file.metadata().map_err(HeaderError::Io)?.len();
    let foreign = |reason: String| Err(HeaderError::Foreign(reason));
    let mut bytes = vec![0; PREFIX];
    if length < PREFIX as u64 {
        return foreign(format!("it has only {length} bytes"));
    }
    file.read_exact(&mut bytes).map_err(HeaderError::Io)?;
    let header = bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
    if header > length - PREFIX as u64 {
        return foreign(format!("its header would have {header} bytes, the file has {length}"));
    }
    if header > MAX_HEADER {
        return foreign(format!("its header would have {header} bytes, and {MAX_HEADER} are the most"));
    }
    file.by_ref().take(header).read_to_end(&mut bytes).map_err(HeaderError::Io)?;
    if bytes.len() as u64 != PREFIX as u64 + header {
        return foreign("it was cut shorter while it was read".into());
    }
    Ok(Start { bytes, length })
}

impl Start {
    /// The header as the file has it.
    pub fn json(&self) -> &[u8] {
        &self.bytes[PREFIX..]
    }

    /// The header, which has to tell of as many bytes as follow it.
    pub fn parse(&self) -> Result<Metadata, HeaderError> {
        let header: Metadata = serde_json::from_slice(self.json()).map_err(unreadable)?;
        let (told, follow) = (header.data_len() as u64, self.length - self.bytes.len() as u64);
        if told != follow {
            return Err(HeaderError::Broken(format!(
                "its header tells of {told} bytes of tensors, and {follow} follow"
            )));
        }
        Ok(header)
    }
}

/// That a header is no JSON, or other than it has to be.
pub fn unreadable(error: serde_json::Error) -> HeaderError {
    HeaderError::Broken(format!("the header cannot be read: {error}"))
}
