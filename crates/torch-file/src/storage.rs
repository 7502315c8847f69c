//! Storages: the memory of tensors, of which a pickle says the key and the type, and which lies elsewhere in the file.

use std::sync::Arc;

use crate::dtype::Dtype;

/// A part of the memory that the file holds under a key, as the pickle describes it.
#[derive(Debug)]
pub struct Storage {
    pub key: Arc<str>,
    pub dtype: Dtype,
    /// The elements under the key.
    pub total: u64,
    /// The first element of this part.
    pub start: u64,
    /// The elements of this part.
    pub length: u64,
}
