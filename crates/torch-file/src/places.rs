//! Where storages lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dtype::Dtype;
use crate::pickle::{Node, Pickle};

/// The memory under one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    pub dtype: Dtype,
    pub elements: u64,
}

impl Memory {
    /// Its bytes, if there can be as many in a file of `file_length`.
    pub fn bytes(&self, key: &str, file_length: u64) -> Result<u64, String> {
        let bytes = self.elements.checked_mul(self.dtype.size() as u64);
        bytes.filter(|bytes| *bytes <= file_length).ok_or_else(|| {
            format!("storage `{key}` would have {} elements, and the file has {file_length} bytes", self.elements)
        })
    }
}

/// Where the memory under one key lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub memory: Memory,
    /// Its first byte in the file.
    pub begin: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its CRC-32, which only archives have, and not all of them.
    pub checksum: Option<u32>,
}

/// The places by key.
pub type Places = BTreeMap<Arc<str>, Place>;

/// The storages of types that are not read, by key: their classes and numbers of elements.
pub fn unread<'p>(pickle: &'p Pickle) -> BTreeMap<&'p str, (&'p str, u64)> {
    let storage = |node: &'p Node| {
        let Node::Object(call) = node else { return None };
        let [key, total] = call.arguments[..] else { return None };
        let (key, total) = (pickle.nodes.text(key).ok()?, pickle.nodes.count(total).ok()?);
        call.class.ends_with("Storage").then_some((&**key, (&*call.class, total)))
    };
    pickle.nodes.iter().filter_map(storage).collect()
}

/// All storages that a pickle speaks of, by key, but those of types that are not read.
pub fn memories(pickle: &Pickle) -> Result<BTreeMap<Arc<str>, Memory>, String> {
    let mut memories = BTreeMap::new();
    for node in pickle.nodes.iter() {
        let Node::Storage(storage) = node else { continue };
        let memory = Memory { dtype: storage.dtype, elements: storage.total };
        if *memories.entry(storage.key.clone()).or_insert(memory) != memory {
            return Err(format!("storage `{}` is described twice, each time differently", storage.key));
        }
    }
    Ok(memories)
}
