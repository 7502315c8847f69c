//! PyTorch's format before 1.6: pickles of a magic number, the protocol's version, the system, the object and the keys of
//! its storages; then, key by key, the number of elements and the elements.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::dtype::unread_size;
use crate::pickle::{self, Input, Node, Pickle};
use crate::places::{Place, Places, memories, unread};
use crate::walk;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;
/// The bytes of a number of elements.
const COUNT: u64 = 8;

/// Reads the pickle, and finds the storages that it describes. Bytes may follow the last one.
pub fn open(file: &File, length: u64) -> Result<(Pickle, Places), String> {
    let mut input = Input::new(file, 0, length);
    expect(&mut input, MAGIC, "PyTorch's magic number")?;
    expect(&mut input, VERSION, "version 1001 of PyTorch's protocol")?;
    check_order(&pickle::read(&mut input)?)?;
    let pickle = pickle::read(&mut input)?;
    let keys = keys(&pickle::read(&mut input)?)?;
    let places = places(file, &pickle, &keys, input.position(), length)?;
    Ok((pickle, places))
}

/// Skips from storage to storage, the first of which begins at `next`.
fn places(file: &File, pickle: &Pickle, keys: &[Arc<str>], mut next: u64, length: u64) -> Result<Places, String> {
    let memories = memories(pickle)?;
    let unread = unread(pickle);
    let mut places = Places::new();
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(format!("its storage `{key}` is there twice"));
        }
        let (elements, bytes) = match (memories.get(key), unread.get(&**key)) {
            (Some(memory), _) => (memory.elements, memory.bytes(key, length)?),
            (None, Some((class, elements))) => (*elements, unread_bytes(key, class, *elements)?),
            (None, None) => return Err(format!("nothing tells the kind of its storage `{key}`")),
        };
        let mut count = [0; COUNT as usize];
        file.read_exact_at(&mut count, next).map_err(|_| truncated(key))?;
        match u64::from_le_bytes(count) {
            count if count == elements => {}
            count => return Err(format!("its storage `{key}` has {count} elements, {elements} belong there")),
        }
        let begin = next + COUNT;
        next = begin.checked_add(bytes).filter(|next| *next <= length).ok_or_else(|| truncated(key))?;
        if let Some(memory) = memories.get(key) {
            places.insert(key.clone(), Place { memory: *memory, begin, bytes, checksum: None });
        }
    }
    match memories.keys().find(|key| !seen.contains(key)) {
        Some(key) => Err(format!("its storage `{key}` is missing")),
        None => Ok(places),
    }
}

fn unread_bytes(key: &str, class: &str, elements: u64) -> Result<u64, String> {
    unread_size(class).and_then(|size| elements.checked_mul(size)).ok_or_else(|| {
        format!("its storage `{key}` is a `{class}`, a kind that is not known, and so nothing behind it can be found")
    })
}

fn expect(input: &mut Input, number: i128, what: &str) -> Result<(), String> {
    let pickle = pickle::read(input).map_err(|reason| format!("it does not begin with {what}: {reason}"))?;
    match pickle.root() {
        Node::Int(found) if *found == number => Ok(()),
        Node::Object(call) => Err(walk::refusal(&call.class, "its pickle")),
        _ => Err(format!("it does not begin with {what}")),
    }
}

fn check_order(system: &Pickle) -> Result<(), String> {
    let Node::Dict(entries) = system.root() else { return Err("it does not say which system wrote it".into()) };
    let is_order = |key| matches!(system.nodes.get(key), Node::Text(key) if &**key == "little_endian");
    let order = entries.iter().find(|(key, _)| is_order(*key)).map(|(_, value)| system.nodes.get(*value));
    match order {
        Some(Node::Bool(true)) => Ok(()),
        _ => Err("it is not in little-endian order, the only one read".into()),
    }
}

fn keys(pickle: &Pickle) -> Result<Vec<Arc<str>>, String> {
    pickle.nodes.sequence(pickle.root)?.iter().map(|key| pickle.nodes.text(*key).cloned()).collect()
}

fn truncated(key: &str) -> String {
    format!("it is truncated: it ends in its storage `{key}`")
}
