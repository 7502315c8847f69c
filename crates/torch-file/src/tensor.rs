//! Tensors; whatever the file claims of them is compared with what it holds.

use std::sync::Arc;

use crate::dtype::Dtype;
use crate::storage::Storage;

/// A tensor of a file: its type, its shape and where it lies. [`TorchFile::read`](crate::TorchFile::read) reads it. A clone is cheap.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    storage: Arc<Storage>,
    offset: u64,
    layout: Arc<Layout>,
}

#[derive(Debug)]
struct Layout {
    shape: Vec<u64>,
    strides: Vec<u64>,
}

impl TensorInfo {
    pub(crate) fn new(storage: Arc<Storage>, offset: u64, shape: Vec<u64>, strides: Vec<u64>) -> Self {
        Self { storage, offset, layout: Arc::new(Layout { shape, strides }) }
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.storage.dtype
    }

    /// Its lengths, the slowest dimension first; none if it is a single number. At most 64 dimensions.
    pub fn shape(&self) -> &[u64] {
        &self.layout.shape
    }

    /// How many elements it has: the product of its shape.
    pub fn numel(&self) -> u64 {
        // No product overflows: `check` has multiplied the same numbers.
        self.shape().iter().product()
    }

    /// How many bytes [`TorchFile::read`](crate::TorchFile::read) gives: those of its elements, never more than the file has.
    pub fn bytes(&self) -> u64 {
        self.numel() * self.dtype().size() as u64
    }

    /// The key of its storage in the file. Tensors with equal keys share their memory, as tied weights do.
    pub fn storage_key(&self) -> &str {
        &self.storage.key
    }

    /// How many elements its storage has; others than those of this tensor may be among them.
    pub fn storage_numel(&self) -> u64 {
        self.storage.total
    }

    /// How many bytes its storage has.
    pub fn storage_bytes(&self) -> u64 {
        // No product overflows: the storage was found in the file.
        self.storage.total * self.dtype().size() as u64
    }

    /// The element of its storage at which it begins. A tensor without elements begins anywhere.
    pub fn storage_offset(&self) -> u64 {
        self.storage.start.saturating_add(self.offset)
    }

    /// How many elements lie between neighbours in its storage, dimension by dimension.
    pub fn strides(&self) -> &[u64] {
        &self.layout.strides
    }

    /// Whether its elements lie in its storage in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        for (length, stride) in self.shape().iter().zip(self.strides()).rev() {
            if *length != 1 && *stride != wanted {
                return self.numel() == 0;
            }
            wanted *= length;
        }
        true
    }

    /// How many elements of its storage lie between its first and its last, both counted.
    pub(crate) fn span(&self) -> u64 {
        if self.numel() == 0 {
            return 0;
        }
        // No sum overflows: `check` has added the same numbers.
        1 + self.shape().iter().zip(self.strides()).map(|(length, stride)| (length - 1) * stride).sum::<u64>()
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// That every element lies in the storage, and that there are no more bytes of them than in the file.
    pub(crate) fn check(&self, file_length: u64) -> Result<(), String> {
        let (shape, strides) = (self.shape(), self.strides());
        if shape.len() != strides.len() {
            return Err(format!("it has the shape {shape:?}, but the strides {strides:?}"));
        }
        // Lengths of 0 aside, so that they do not hide others that no tensor can have.
        let size = self.dtype().size() as u64;
        let bytes = shape.iter().try_fold(size, |product, length| product.checked_mul((*length).max(1)));
        if bytes.is_none_or(|bytes| bytes > file_length) {
            return Err(format!("it would have the shape {shape:?}, and the file has {file_length} bytes"));
        }
        if shape.contains(&0) {
            return Ok(());
        }
        let reach = |last: u64, (length, stride): (&u64, &u64)| last.checked_add((length - 1).checked_mul(*stride)?);
        let last = shape.iter().zip(strides).try_fold(self.offset, reach);
        if last.is_none_or(|last| last >= self.storage.length) {
            let Storage { key, length, .. } = &*self.storage;
            return Err(format!(
                "its shape {shape:?} with the strides {strides:?} from {} leaves storage `{key}` of {length} elements",
                self.offset
            ));
        }
        Ok(())
    }
}
