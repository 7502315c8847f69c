//! PyTorch's format before 1.6: pickles of a magic number, the protocol's version, the system, the object and the keys of
//! its storages; then, key by key, the number of elements and the elements.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use tch::Tensor;

use super::node::Node;
use super::pickle::{self, Pickle};
use super::tensor::{self, Memory};
use super::tree;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;
/// The bytes of a number of elements.
const COUNT: u64 = 8;

/// An open stream, behind its pickles.
pub struct Stream {
    file: BufReader<File>,
    /// The order of the storages.
    keys: Vec<Rc<str>>,
    all: BTreeMap<Rc<str>, Memory>,
    file_length: u64,
}

impl Stream {
    pub fn open(mut file: BufReader<File>, file_length: u64) -> Result<(Self, Pickle), String> {
        expect(&mut file, MAGIC, "PyTorch's magic number")?;
        expect(&mut file, VERSION, "version 1001 of PyTorch's protocol")?;
        check_order(&pickle::read(&mut file)?)?;
        let pickle = pickle::read(&mut file)?;
        let keys = keys(&pickle::read(&mut file)?)?;
        let all = tensor::memories(&pickle, |_| true)?;
        Ok((Self { file, keys, all, file_length }, pickle))
    }

    /// All storages of the list.
    pub fn load(mut self, wanted: &BTreeMap<Rc<str>, Memory>) -> Result<BTreeMap<Rc<str>, Tensor>, String> {
        let mut loaded = BTreeMap::new();
        for key in &self.keys {
            let memory = self.all.get(key).ok_or_else(|| format!("nothing tells the kind of its storage `{key}`"))?;
            let length = memory.bytes(key, self.file_length)?;
            let count = read(&mut self.file, key, COUNT)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            if count != memory.elements {
                return Err(format!("its storage `{key}` has {count} elements, {} belong there", memory.elements));
            }
            if wanted.contains_key(key) {
                loaded.insert(key.clone(), memory.tensor(&read(&mut self.file, key, length)?)?);
            } else {
                skip(&mut self.file, key, length)?;
            }
        }
        match wanted.keys().find(|key| !loaded.contains_key(*key)) {
            Some(key) => Err(format!("its storage `{key}` is missing")),
            None => Ok(loaded),
        }
    }
}

fn expect(file: &mut BufReader<File>, number: i128, what: &str) -> Result<(), String> {
    let pickle = pickle::read(file).map_err(|reason| format!("it does not begin with {what}: {reason}"))?;
    match pickle.root() {
        Node::Int(found) if *found == number => Ok(()),
        node @ Node::Opaque(_) => Err(tree::refusal(node, "its pickle")),
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

fn keys(pickle: &Pickle) -> Result<Vec<Rc<str>>, String> {
    pickle.nodes.sequence(pickle.root)?.iter().map(|key| pickle.nodes.text(*key).cloned()).collect()
}

fn read(file: &mut BufReader<File>, key: &str, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let found = file.take(length).read_to_end(&mut bytes).map_err(|error| broken(key, error))?;
    if found as u64 == length { Ok(bytes) } else { Err(truncated(key)) }
}

fn skip(file: &mut BufReader<File>, key: &str, length: u64) -> Result<(), String> {
    let found = io::copy(&mut file.take(length), &mut io::sink()).map_err(|error| broken(key, error))?;
    if found == length { Ok(()) } else { Err(truncated(key)) }
}

fn truncated(key: &str) -> String {
    format!("it is truncated: it ends in its storage `{key}`")
}

fn broken(key: &str, error: io::Error) -> String {
    format!("its storage `{key}` cannot be read: {error}")
}
