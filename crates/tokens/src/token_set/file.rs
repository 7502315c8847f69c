//! One token file: rows are read in place, and a file that is truncated meanwhile is an error.

use std::{ops::Range, path::Path};

use vqkit_run::RunError;
use vqkit_torch::{TokenError, weights::OpenFile};

use crate::error::Result;

/// Bytes that are read at once where a whole column is checked; a multiple of every width.
const CHUNK: usize = 1 << 20;

/// One file of a set.
#[derive(Debug)]
pub(super) struct TokenFile {
    pub source: OpenFile,
    /// In the order of [`TokenHeader::grids`](token_file::TokenHeader::grids).
    pub grids: Vec<Column>,
    /// The embeddings, f32.
    pub embedding: Option<Column>,
    /// Index in the set of its first image, and of the next file's.
    pub places: Range<usize>,
}

/// Where the rows of a tensor are in a file. They may begin at any byte: safetensors does not align.
#[derive(Debug)]
pub(super) struct Column {
    pub begin: u64,
    /// Bytes of a row.
    pub row: usize,
    pub width: Width,
}

/// How a number is written, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    U16,
    U32,
    F32,
}

impl Width {
    /// The largest of some indices; -1 where there are none.
    fn largest(self, bytes: &[u8]) -> i64 {
        match self {
            Self::U16 => bytes.chunks_exact(2).map(u16_of).max().map_or(-1, i64::from),
            Self::U32 | Self::F32 => bytes.chunks_exact(4).map(u32_of).max().map_or(-1, i64::from),
        }
    }

    fn append(self, bytes: &[u8], to: &mut Vec<i64>) {
        match self {
            Self::U16 => to.extend(bytes.chunks_exact(2).map(|b| i64::from(u16_of(b)))),
            Self::U32 | Self::F32 => to.extend(bytes.chunks_exact(4).map(|b| i64::from(u32_of(b)))),
        }
    }
}

fn u16_of(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl TokenFile {
    pub fn shifted(self, first: usize) -> Self {
        Self { places: self.places.start + first..self.places.end + first, ..self }
    }

    /// Adds the indices of consecutive images of the set.
    pub fn append_indices(&self, column: usize, run: Range<usize>, to: &mut Vec<i64>) -> Result<()> {
        let column = &self.grids[column];
        column.width.append(&self.rows(column, run)?, to);
        Ok(())
    }

    /// Adds the vectors of consecutive images of the set.
    pub fn append_embeddings(&self, run: Range<usize>, to: &mut Vec<f32>) -> Result<()> {
        let Some(column) = &self.embedding else { return Ok(()) };
        let (bytes, before) = (self.rows(column, run)?, to.len());
        to.extend(bytes.chunks_exact(4).map(|b| f32::from_bits(u32_of(b))));
        match to[before..].iter().find(|value| !value.is_finite()) {
            None => Ok(()),
            Some(value) => {
                let reason = format!("its embeddings hold {value}, which is not a finite number: write the file again");
                Err(RunError::artifact(self.source.path(), reason).into())
            }
        }
    }

    fn rows(&self, column: &Column, run: Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; run.len() * column.row];
        let first = (run.start - self.places.start) as u64;
        self.source.read(column.begin + first * column.row as u64, &mut bytes)?;
        Ok(bytes)
    }
}

impl Column {
    /// Checks every index of `images` grids, each of codebooks of these sizes.
    pub fn check_range(&self, source: &OpenFile, images: usize, sizes: &[i64]) -> Result<()> {
        let (length, plane) = (images as u64 * self.row as u64, (self.row / sizes.len()) as u64);
        let mut chunk = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
        let mut at = 0;
        while at < length {
            let count = (length - at).min(chunk.len() as u64) as usize;
            source.read(self.begin + at, &mut chunk[..count])?;
            self.check_chunk(source.path(), &chunk[..count], at, plane, sizes)?;
            at += count as u64;
        }
        Ok(())
    }

    /// `at`: where in the column the bytes begin; a plane holds the indices of one codebook.
    fn check_chunk(&self, path: &Path, mut bytes: &[u8], mut at: u64, plane: u64, sizes: &[i64]) -> Result<()> {
        while !bytes.is_empty() {
            let left = (plane - at % plane).min(bytes.len() as u64) as usize;
            let (part, rest) = bytes.split_at(left);
            let codebook = (at / plane % sizes.len() as u64) as usize;
            let (index, size) = (self.width.largest(part), sizes[codebook]);
            if index >= size {
                return Err(RunError::artifact(path, TokenError::Range { index, codebook, size }.to_string()).into());
            }
            (bytes, at) = (rest, at + left as u64);
        }
        Ok(())
    }
}
