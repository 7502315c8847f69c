//! Reading safetensors files. A file is a claim: everything in it is checked before it is used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use serde_json::Value;
use tch::Tensor;

use super::bytes::of_bytes;
use super::header::{self, HeaderError, Start, unreadable};
use super::kinds::kind_of;
use crate::{TorchError, memory};

/// libtorch's own limit.
const MAX_DIMENSIONS: usize = 64;
/// Suffixes under which pickles go about.
const PICKLES: [&str; 6] = ["bin", "ckpt", "pickle", "pkl", "pt", "pth"];

/// Reads all tensors of a safetensors file, onto the CPU, in their own kinds.
///
/// # Errors
/// [`TorchError::File`] when it is not a sound safetensors file, or holds a kind that libtorch lacks;
/// [`TorchError::Io`] when it cannot be read. Pickles are refused; [`read_torch`](super::read_torch) reads
/// PyTorch's.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let (Start { mut bytes, length }, mut file) = start(path)?;
    // The bytes of the file, and the tensors made of them.
    memory::check(&format!("reading {}", path.display()), length.saturating_mul(2))?;
    file.read_to_end(&mut bytes).map_err(TorchError::io("read", path))?;
    parse(path, &bytes)
}

/// A safetensors file to be read piece by piece: its header was read and compared with the file's length. It stays open, so a file
/// that takes its name later is another.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the data of the tensors begins.
    begin: u64,
    /// The file's length in bytes.
    length: u64,
}

impl OpenFile {
    /// Its path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors and its metadata.
    pub fn header(&self) -> &Metadata {
        &self.header
    }

    /// Where in the file the bytes of one of its tensors lie.
    pub fn range(&self, tensor: &TensorInfo) -> Range<u64> {
        let (begin, end) = tensor.data_offsets;
        self.begin + begin as u64..self.begin + end as u64
    }

    /// Fills `to` with bytes of the file, from `begin` on.
    ///
    /// # Errors
    /// [`TorchError::File`] when the file was cut shorter since it was opened; [`TorchError::Io`] when it cannot be read.
    pub fn read(&self, begin: u64, to: &mut [u8]) -> Result<(), TorchError> {
        self.file.read_exact_at(to, begin).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> TorchError {
        match (error.kind(), self.file.metadata()) {
            (ErrorKind::UnexpectedEof, Ok(now)) => TorchError::file(&self.path, cut(self.length, now.len())),
            _ => TorchError::io("read", &self.path)(error),
        }
    }
}

/// Opens a safetensors file, and reads its header only.
///
/// # Errors
/// [`TorchError::File`] when it is not a sound safetensors file, or not as long as its header says; [`TorchError::Io`] when it
/// cannot be read.
pub fn open(path: &Path) -> Result<OpenFile, TorchError> {
    let (start, file) = start(path)?;
    let header = start.parse().map_err(|error| refused(path, error))?;
    Ok(OpenFile { path: path.to_owned(), file, header, begin: start.bytes.len() as u64, length: start.length })
}

/// The shapes of the tensors of a safetensors file, by name; reads its header only.
///
/// # Errors
/// As [`open`]; [`TorchError::File`] for a shape that no tensor can have.
pub fn shapes(path: &Path) -> Result<BTreeMap<String, Vec<i64>>, TorchError> {
    let file = open(path)?;
    let shape = |(name, info): (String, &TensorInfo)| match possible(&info.shape) {
        Some(shape) => Ok((name, shape)),
        None => Err(TorchError::file(path, format!("`{name}` has the impossible shape {:?}", info.shape))),
    };
    file.header().tensors().into_iter().map(shape).collect()
}

/// As [`read`], from the bytes of a file, which errors call `path`.
///
/// # Errors
/// [`TorchError::File`] when they are not a sound safetensors file, or hold a kind that libtorch lacks.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| TorchError::file(path, error.to_string()))?;
    file.iter().map(|(name, view)| Ok((name.to_owned(), tensor(path, name, &view)?))).collect()
}

/// The metadata of a safetensors file; reads its header only.
///
/// # Errors
/// [`TorchError::File`] when it is not a safetensors file; [`TorchError::Io`] when it cannot be read.
pub fn metadata(path: &Path) -> Result<BTreeMap<String, String>, TorchError> {
    let (start, _) = start(path)?;
    let failed = |error| refused(path, unreadable(error));
    let mut header: Value = serde_json::from_slice(start.json()).map_err(failed)?;
    match header.get_mut("__metadata__").map(Value::take) {
        None => Ok(BTreeMap::new()),
        Some(metadata) => serde_json::from_value(metadata).map_err(failed),
    }
}

/// That a file was cut shorter after it was opened; in bytes.
pub(super) fn cut(before: u64, now: u64) -> String {
    format!("was cut to {now} of its {before} bytes while it was read; write it anew")
}

/// Checks a header that is about to be written for `data` bytes.
pub fn check_header(path: &Path, header: &[u8], data: usize) -> Result<(), TorchError> {
    let refuse = |reason: String| TorchError::file(path, format!("cannot hold these tensors: {reason}"));
    let parsed: Metadata = serde_json::from_slice(header).map_err(|error| refuse(error.to_string()))?;
    if parsed.data_len() != data {
        return Err(refuse(format!("the header tells of {} bytes, there are {data}", parsed.data_len())));
    }
    Ok(())
}

/// Refuses folders, devices and pipes, on which reading may never end.
pub(super) fn check_plain(path: &Path) -> Result<(), TorchError> {
    match std::fs::metadata(path).map_err(TorchError::io("read", path))?.is_file() {
        true => Ok(()),
        false => Err(TorchError::file(path, "is not a plain file")),
    }
}

/// Opens a file and reads it as far as its header goes.
fn start(path: &Path) -> Result<(Start, File), TorchError> {
    check_plain(path)?;
    let mut file = File::open(path).map_err(TorchError::io("read", path))?;
    let start = header::start(&mut file).map_err(|error| refused(path, error))?;
    Ok((start, file))
}

fn refused(path: &Path, error: HeaderError) -> TorchError {
    match error {
        HeaderError::Io(error) => TorchError::io("read", path)(error),
        HeaderError::Foreign(reason) => refuse(path, reason),
        HeaderError::Broken(reason) => TorchError::file(path, reason),
    }
}

fn refuse(path: &Path, reason: String) -> TorchError {
    let suffix = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let pickle = if PICKLES.contains(&suffix.as_str()) {
        "; if it is a pickle, it is refused, since reading one can run code: import it, or convert it to safetensors"
    } else {
        ""
    };
    TorchError::file(path, format!("this is not a safetensors file: {reason}{pickle}"))
}

fn tensor(path: &Path, name: &str, view: &TensorView) -> Result<Tensor, TorchError> {
    let refuse = |reason: String| TorchError::file(path, format!("`{name}` {reason}"));
    let kind = kind_of(view.dtype()).ok_or_else(|| refuse(format!("is {}, which libtorch lacks", view.dtype())))?;
    let shape = possible(view.shape()).ok_or_else(|| refuse(format!("has the impossible shape {:?}", view.shape())))?;
    of_bytes(view.data(), &shape, kind)
}

/// A shape that a tensor can have. Lengths of 0 aside, the numbers of elements have to be ones that libtorch can count: it works
/// out the strides of empty tensors too.
fn possible(shape: &[usize]) -> Option<Vec<i64>> {
    let counted = shape.iter().try_fold(1usize, |product, length| product.checked_mul((*length).max(1)));
    let is_possible = shape.len() <= MAX_DIMENSIONS && counted.is_some_and(|count| i64::try_from(count).is_ok());
    is_possible.then(|| shape.iter().map(|length| *length as i64).collect())
}
