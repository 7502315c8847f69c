//! Tensors out of storages; whatever the file claims is compared with what it holds.

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Kind, Tensor};

use super::node::{Node, Storage, View};
use super::pickle::Pickle;
use crate::LibtorchError;

/// The memory that a file holds under one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    pub kind: Kind,
    pub elements: u64,
}

impl Memory {
    /// Its bytes, if there can be as many in a file of `file_length`.
    pub fn bytes(&self, key: &str, file_length: u64) -> Result<u64, String> {
        let bytes = self.elements.checked_mul(self.kind.elt_size_in_bytes() as u64);
        bytes.filter(|bytes| *bytes <= file_length).ok_or_else(|| {
            format!("storage `{key}` would have {} elements, and the file has {file_length} bytes", self.elements)
        })
    }

    /// A tensor of one dimension.
    pub fn tensor(&self, bytes: &[u8]) -> Result<Tensor, String> {
        // A truth value other than 0 and 1 is undefined in C++.
        let is_truth = self.kind == Kind::Bool;
        let stored = if is_truth { Kind::Uint8 } else { self.kind };
        let tensor = Tensor::f_from_data_size(bytes, &[self.elements as i64], stored).map_err(refused)?;
        if is_truth { tensor.f_ne(0).map_err(refused) } else { Ok(tensor) }
    }
}

/// All storages that a pickle speaks of, by key; `is_wanted` chooses.
pub fn memories(pickle: &Pickle, is_wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<Rc<str>, Memory>, String> {
    let mut memories = BTreeMap::new();
    for node in pickle.nodes.iter() {
        let Node::Storage(storage) = node else { continue };
        let memory = Memory { kind: storage.kind, elements: storage.total };
        if is_wanted(&storage.key) && *memories.entry(storage.key.clone()).or_insert(memory) != memory {
            return Err(format!("storage `{}` is described twice, each time differently", storage.key));
        }
    }
    Ok(memories)
}

/// The tensor that `view` shows of `memory`; it shares the memory.
pub fn tensor(view: &View, memory: &Tensor, file_length: u64) -> Result<Tensor, String> {
    let View { storage, offset, size, stride } = view;
    check(view, file_length)?;
    if size.contains(&0) {
        return Tensor::f_empty(size, (memory.kind(), memory.device())).map_err(refused);
    }
    let first = (storage.start + offset) as i64;
    memory.f_as_strided(size, stride, first).map_err(refused)
}

/// That every element lies in the storage, and that there are no more of them than bytes in the file.
fn check(view: &View, file_length: u64) -> Result<(), String> {
    let View { storage, offset, size, stride } = view;
    if size.len() != stride.len() {
        return Err(format!("it has the shape {size:?}, but the strides {stride:?}"));
    }
    // Lengths of 0 aside, so that they do not hide others that no tensor can have.
    let elements = size.iter().try_fold(1u64, |product, length| product.checked_mul((*length).max(1) as u64));
    if elements.is_none_or(|elements| elements > file_length) {
        return Err(format!("it would have the shape {size:?}, and the file has {file_length} bytes"));
    }
    if size.contains(&0) {
        return Ok(());
    }
    let reach =
        |last: u64, (length, stride): (&i64, &i64)| last.checked_add((*length as u64 - 1).checked_mul(*stride as u64)?);
    let last = size.iter().zip(stride).try_fold(*offset, reach);
    if last.is_none_or(|last| last >= storage.length) {
        let Storage { key, length, .. } = &**storage;
        return Err(format!(
            "its shape {size:?} with the strides {stride:?} from {offset} leaves storage `{key}` of {length} elements"
        ));
    }
    Ok(())
}

fn refused(error: tch::TchError) -> String {
    LibtorchError::from(error).to_string()
}
