//! An open file.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::dtype::Dtype;
use crate::error::TorchFileError;
use crate::legacy;
use crate::pickle::{Node, Pickle};
use crate::places::{Place, Places};
use crate::strided::gather;
use crate::tensor::TensorInfo;
use crate::value::Value;
use crate::walk::{self, Entry, Found, Unreadable};

/// A file that `torch.save` wrote, opened: what it describes is known, and tensors are read when they are asked for.
///
/// It stays open, so a file that takes its name later is another. Threads may share it.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    file: File,
    length: u64,
    pickle: Pickle,
    places: Places,
    entries: Vec<Entry>,
    unreadable: Vec<Unreadable>,
}

impl TorchFile {
    /// Opens a file of either format: the zip archive (since PyTorch 1.6) and the stream of pickles before it.
    ///
    /// Only its pickles and the places of its storages are read. Every size, offset and stride in it is compared with what it
    /// holds before it is used, and nothing in it is executed.
    ///
    /// # Errors
    /// [`TorchFileError::File`] when it is no such file, is broken or truncated; [`TorchFileError::Io`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, TorchFileError> {
        let refused = |reason: String| TorchFileError::file(path, reason);
        let (file, length) = open_plain(path)?;
        let mut start = [0; archive::MAGIC.len()];
        let is_archive = file.read_exact_at(&mut start, 0).is_ok() && start == archive::MAGIC;
        let read = if is_archive { archive::open } else { legacy::open };
        let (pickle, places) = read(&file, length).map_err(refused)?;
        let Found { entries, unreadable } = walk::walk(&pickle, length).map_err(refused)?;
        check(&pickle, &entries, length).map_err(refused)?;
        Ok(Self { path: path.to_owned(), file, length, pickle, places, entries, unreadable })
    }

    /// Its path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it describes.
    pub fn root(&self) -> Value<'_> {
        Value::new(&self.pickle.nodes, self.pickle.root)
    }

    /// The value that keys lead to from the root, each as in [`Value::get`]: `["args", "codebook_size"]`.
    pub fn get(&self, keys: &[&str]) -> Option<Value<'_>> {
        keys.iter().try_fold(self.root(), |value, key| value.get(key))
    }

    /// Its tensors, as far as dicts, lists, tuples and sets lead to them, in the file's order. A tensor that stands in two
    /// places is there twice. Tensors in the attributes of objects are not among them; [`root`](Self::root) leads to those.
    pub fn tensors(&self) -> &[Entry] {
        &self.entries
    }

    /// What would be tensors and arrays, but would have to be called to be made: sparse and quantized tensors, those of numbers
    /// that are not read, numpy's arrays. They do no harm where nobody asks for them.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The tensor that keys lead to from the root, as in [`get`](Self::get).
    ///
    /// # Errors
    /// [`TorchFileError::File`] when there is none, or one that is not read; the message names the keys, and what would have to
    /// be called for it.
    pub fn tensor(&self, keys: &[&str]) -> Result<&TensorInfo, TorchFileError> {
        let name = keys.join(".");
        let reason = match self.get(keys) {
            Some(Value::Tensor(tensor)) => return Ok(tensor),
            Some(Value::Object(object)) => {
                format!(
                    "`{name}` is made with `{}`, which is not read here, since it would have to be called",
                    object.class()
                )
            }
            Some(_) => format!("`{name}` is no tensor"),
            None => format!("there is no `{name}` in it"),
        };
        Err(TorchFileError::file(&self.path, reason))
    }

    /// Reads the elements of one tensor of this file: in row-major order without gaps, each little-endian, truth values as 0 and 1.
    ///
    /// This takes the memory of the tensor alone; if its elements lie apart, also that of the part of its storage between the
    /// first and the last. The checksum is compared when the tensor spans
    /// the whole of a storage, and the file has one.
    ///
    /// # Errors
    /// [`TorchFileError::File`] when the checksum differs, or the tensor is none of this file's; [`TorchFileError::Cut`] when the
    /// file was cut shorter since it was opened; [`TorchFileError::Io`] when it cannot be read.
    pub fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>, TorchFileError> {
        let place = self.place(tensor)?;
        if tensor.numel() == 0 {
            return Ok(Vec::new());
        }
        let size = tensor.dtype().size();
        let begin = place.begin + tensor.storage_offset() * size as u64;
        let mut bytes = self.read_bytes(tensor.storage_key(), place, begin, tensor.span() * size as u64)?;
        if !tensor.is_contiguous() {
            let gathered = gather(&bytes, size, tensor.shape(), tensor.strides());
            bytes = gathered.ok_or_else(|| TorchFileError::file(&self.path, "a tensor in it leaves its storage"))?;
        }
        Ok(truth(tensor.dtype(), bytes))
    }

    /// Reads the whole storage of a tensor: [`storage_numel`](TensorInfo::storage_numel) elements of its type, as [`read`](Self::read)
    /// gives them. The tensor begins in it at [`storage_offset`](TensorInfo::storage_offset), with its
    /// [`strides`](TensorInfo::strides).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_storage(&self, tensor: &TensorInfo) -> Result<Vec<u8>, TorchFileError> {
        let place = self.place(tensor)?;
        Ok(truth(tensor.dtype(), self.read_bytes(tensor.storage_key(), place, place.begin, place.bytes)?))
    }

    fn place(&self, tensor: &TensorInfo) -> Result<&Place, TorchFileError> {
        let storage = tensor.storage();
        let place = self.places.get(&storage.key);
        let is_same = |place: &&Place| place.memory.dtype == storage.dtype && place.memory.elements == storage.total;
        place
            .filter(is_same)
            .ok_or_else(|| TorchFileError::file(&self.path, "the tensor asked for is one of another file"))
    }

    /// The bytes of a storage from `begin` on, compared with the checksum if they are all.
    fn read_bytes(&self, key: &str, place: &Place, begin: u64, length: u64) -> Result<Vec<u8>, TorchFileError> {
        let too_long =
            |_| TorchFileError::file(&self.path, format!("a tensor of {length} bytes has no place in memory"));
        let mut bytes = vec![0; usize::try_from(length).map_err(too_long)?];
        self.file.read_exact_at(&mut bytes, begin).map_err(|error| match (error.kind(), self.file.metadata()) {
            (ErrorKind::UnexpectedEof, Ok(now)) => {
                TorchFileError::Cut { path: self.path.clone(), before: self.length, now: now.len() }
            }
            _ => TorchFileError::io(&self.path)(error),
        })?;
        let whole = place.checksum.filter(|_| length == place.bytes);
        if whole.is_some_and(|checksum| crc32fast::hash(&bytes) != checksum) {
            return Err(TorchFileError::file(&self.path, archive::damaged(&format!("data/{key}"))));
        }
        Ok(bytes)
    }
}

/// Refuses folders, devices and pipes, on which reading may never end.
fn open_plain(path: &Path) -> Result<(File, u64), TorchFileError> {
    let failed = || TorchFileError::io(path);
    if !std::fs::metadata(path).map_err(failed())?.is_file() {
        return Err(TorchFileError::file(path, "it is not a plain file"));
    }
    let file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    Ok((file, length))
}

/// Checks the tensors that have names, then those in the attributes of objects.
fn check(pickle: &Pickle, entries: &[Entry], length: u64) -> Result<(), String> {
    for Entry { path, tensor, .. } in entries {
        tensor.check(length).map_err(|reason| format!("`{}`: {reason}", path.join(".")))?;
    }
    for node in pickle.nodes.iter() {
        let Node::Tensor(tensor) = node else { continue };
        tensor.check(length).map_err(|reason| format!("a tensor in an object: {reason}"))?;
    }
    Ok(())
}

/// Whatever is not 0 is true.
fn truth(dtype: Dtype, mut bytes: Vec<u8>) -> Vec<u8> {
    if dtype == Dtype::Bool {
        bytes.iter_mut().for_each(|byte| *byte = (*byte != 0).into());
    }
    bytes
}
