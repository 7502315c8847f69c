//! Arrays in NumPy's archives (`.npz`) from untrusted sources: everything that they claim is checked first.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use npyz::{NpyFile, NpyHeader, Order};
use tch::Tensor;
use vqkit_run::RunError;
use vqkit_torch::memory;
use zip::{ZipArchive, result::ZipError};

use crate::{error::FidelityError, error::Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header, as NumPy's own reader allows.
const MAX_HEADER: usize = 10_000;
/// Brackets within brackets that a header may have; the type of a plain array and its shape have two.
const MAX_DEPTH: usize = 8;
/// Digits that a header may have: numbers of so many have products that 64 bits hold.
const MAX_DIGITS: usize = 18;
/// The most numbers along an axis.
const MAX_LENGTH: u64 = 1 << 14;

/// An open archive.
pub(super) struct Archive<'p> {
    zip: ZipArchive<BufReader<File>>,
    path: &'p Path,
}

impl<'p> Archive<'p> {
    pub fn open(path: &'p Path) -> Result<Self> {
        let io = |source| RunError::io("read", path, source);
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(refuse(path, "is not a plain file".into()));
        }
        let file = File::open(path).map_err(io)?;
        let zip = ZipArchive::new(BufReader::new(file));
        let zip = zip.map_err(|error| refuse(path, format!("is no archive of arrays: {error}")))?;
        Ok(Self { zip, path })
    }

    /// The array of this name, f64; of one or two axes.
    pub fn array(&mut self, name: &str) -> Result<Tensor> {
        let entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| match error {
            ZipError::FileNotFound => refuse(self.path, format!("has no `{name}`, as pytorch-fid saves it")),
            error => refuse(self.path, format!("its `{name}` cannot be read: {error}")),
        })?;
        let mut entry = BufReader::new(entry);
        let wrong = |reason: String| refuse(self.path, format!("its `{name}` {reason}"));
        let header = header(&mut entry).map_err(wrong)?;
        let (shape, order) = (shape(&header).map_err(wrong)?, header.order());
        let count: i64 = shape.iter().product();
        // The numbers as they are read, and the tensor.
        memory::check(&format!("`{name}` of {}", self.path.display()), count.unsigned_abs() * 16)?;
        let numbers = numbers(NpyFile::with_header(header, &mut entry)).map_err(wrong)?;
        // The checksum is compared where the entry ends.
        match entry.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(wrong(format!("has more numbers than its shape {shape:?}"))),
            Err(error) => return Err(wrong(format!("is broken: {error}"))),
        }
        let tensor = Tensor::f_from_slice(&numbers)?;
        match (order, shape.as_slice()) {
            (Order::Fortran, &[rows, columns]) => Ok(tensor.f_view([columns, rows])?.f_tr()?.f_contiguous()?),
            (_, shape) => Ok(tensor.f_view(shape)?),
        }
    }
}

fn refuse(path: &Path, reason: String) -> FidelityError {
    RunError::artifact(path, reason).into()
}

/// The header, read after its own bounds were looked at: what parses it has none.
fn header(entry: &mut impl Read) -> Result<NpyHeader, String> {
    let broken = |error: io::Error| format!("is broken: {error}");
    let mut bytes = vec![0; MAGIC.len() + 2];
    entry.read_exact(&mut bytes).map_err(broken)?;
    if !bytes.starts_with(MAGIC) {
        return Err("is not a NumPy array".into());
    }
    // The length of the header has two bytes in version 1 and four since.
    let width = if bytes[MAGIC.len()] == 1 { 2 } else { 4 };
    let mut length = [0; 4];
    entry.read_exact(&mut length[..width]).map_err(broken)?;
    bytes.extend_from_slice(&length[..width]);
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(format!("has a header of {length} bytes, more than {MAX_HEADER}"));
    }
    let begin = bytes.len();
    bytes.resize(begin + length, 0);
    entry.read_exact(&mut bytes[begin..]).map_err(broken)?;
    let text = &bytes[begin..];
    if depth(text) > MAX_DEPTH || text.iter().filter(|byte| byte.is_ascii_digit()).count() > MAX_DIGITS {
        return Err("has a header that no plain array has".into());
    }
    NpyHeader::from_reader(bytes.as_slice()).map_err(|error| format!("has a broken header: {error}"))
}

/// How deep brackets lie within brackets at most.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0);
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn shape(header: &NpyHeader) -> Result<Vec<i64>, String> {
    let shape = header.shape();
    let is_possible = matches!(shape.len(), 1 | 2) && shape.iter().all(|length| (1..=MAX_LENGTH).contains(length));
    match is_possible {
        true => Ok(shape.iter().map(|length| *length as i64).collect()),
        false => Err(format!("has the shape {shape:?}: it must have one or two axes of 1 to {MAX_LENGTH} numbers")),
    }
}

/// f64, or f32, which is widened.
fn numbers(file: NpyFile<impl Read>) -> Result<Vec<f64>, String> {
    let broken = |error: io::Error| format!("is broken: {error}");
    match file.try_data::<f64>() {
        Ok(numbers) => numbers.collect::<io::Result<_>>().map_err(broken),
        Err(file) => {
            let kind = file.dtype().descr();
            let numbers = file.try_data::<f32>().map_err(|_| format!("is of kind {kind}: it must be f8 or f4"))?;
            numbers.map(|number| number.map(f64::from)).collect::<io::Result<_>>().map_err(broken)
        }
    }
}

#[cfg(test)]
mod tests;
