//! From what a pickle describes to its tensors, by the keys that lead to them.

use std::collections::HashSet;

use crate::pickle::{Id, Node, Nodes, Pickle};
use crate::tensor::TensorInfo;

/// A file may have as many values and bytes of keys as its own length, and this many at least.
const MIN_KEYS: u64 = 1 << 20;

/// A tensor, and the keys that lead to it from the root.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The keys: `["state_dict", "encoder.conv_in.weight"]`. Whole numbers are written in decimal digits, those that are keys of
    /// dicts and the places in lists and tuples alike. Empty if the root itself is the tensor.
    pub path: Vec<String>,
    /// Whether one of the keys is a place in a list, a tuple or a set.
    pub in_sequence: bool,
    /// The tensor.
    pub tensor: TensorInfo,
}

/// What would be a tensor or an array, had it been possible to read it without calling anything.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The keys that lead to it, as in [`Entry::path`].
    pub path: Vec<String>,
    /// Whether one of the keys is a place in a list, a tuple or a set.
    pub in_sequence: bool,
    /// What would have to be called: `torch._utils._rebuild_sparse_tensor`, `numpy.core.multiarray._reconstruct`.
    pub class: String,
}

/// Everything that is reachable from the root through dicts, lists, tuples and sets, in the file's order.
#[derive(Default)]
pub struct Found {
    pub entries: Vec<Entry>,
    pub unreadable: Vec<Unreadable>,
}

/// A dict or sequence that is being gone through.
struct Open {
    id: Id,
    next: usize,
    names: HashSet<String>,
}

struct Walk<'p> {
    nodes: &'p Nodes,
    /// From the root down.
    open: Vec<Open>,
    /// The keys that lead from each of `open` to the next.
    path: Vec<String>,
    on_path: HashSet<Id>,
    sequences: usize,
    left: u64,
    found: Found,
}

/// Finds the tensors of a pickle. A dict may stand in many places, even within itself; `file_length` bounds what comes of that.
pub fn walk(pickle: &Pickle, file_length: u64) -> Result<Found, String> {
    let mut walk = Walk {
        nodes: &pickle.nodes,
        open: Vec::new(),
        path: Vec::new(),
        on_path: HashSet::new(),
        sequences: 0,
        left: file_length.max(MIN_KEYS),
        found: Found::default(),
    };
    walk.visit(pickle.root)?;
    while let Some(open) = walk.open.last_mut() {
        let (id, at) = (open.id, open.next);
        open.next += 1;
        match child(&pickle.nodes, id, at) {
            Some((key, value)) => walk.step(key, value)?,
            None => walk.close(),
        }
    }
    Ok(walk.found)
}

/// The key and value number `at` of a dict or sequence; the inner option is empty where the key is no name.
fn child(nodes: &Nodes, id: Id, at: usize) -> Option<(Option<Key<'_>>, Id)> {
    match nodes.get(id) {
        Node::Dict(items) => items.get(at).map(|(key, value)| (Key::of(nodes.get(*key)), *value)),
        Node::Sequence(items) => items.get(at).map(|value| (Some(Key::Place(at)), *value)),
        _ => None,
    }
}

/// What leads from a dict or sequence to a value in it.
enum Key<'p> {
    Text(&'p str),
    Int(i128),
    Place(usize),
}

impl<'p> Key<'p> {
    fn of(node: &'p Node) -> Option<Self> {
        match node {
            Node::Text(text) => Some(Self::Text(text)),
            Node::Int(number) => Some(Self::Int(*number)),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Place(place) => place.to_string(),
        }
    }
}

impl Walk<'_> {
    fn step(&mut self, key: Option<Key>, value: Id) -> Result<(), String> {
        self.charge(1)?;
        let is_of_interest = match self.nodes.get(value) {
            Node::Dict(_) | Node::Sequence(_) | Node::Tensor(_) => true,
            Node::Object(call) => is_tensor(&call.class),
            _ => false,
        };
        let Some(key) = key.filter(|_| is_of_interest) else { return Ok(()) };
        let name = key.name();
        self.charge(name.len())?;
        if let Some(open) = self.open.last_mut()
            && !open.names.insert(name.clone())
        {
            return Err(format!("two of its tensors or dicts are called `{}`", dotted(&self.path, &name)));
        }
        self.path.push(name);
        let depth = self.open.len();
        self.visit(value)?;
        if self.open.len() == depth {
            self.path.pop();
        }
        Ok(())
    }

    /// Notes a tensor, opens a dict or sequence.
    fn visit(&mut self, id: Id) -> Result<(), String> {
        let in_sequence = self.sequences > 0;
        match self.nodes.get(id) {
            node @ (Node::Dict(_) | Node::Sequence(_)) => {
                if !self.on_path.insert(id) {
                    return Err(endless());
                }
                self.sequences += usize::from(matches!(node, Node::Sequence(_)));
                self.open.push(Open { id, next: 0, names: HashSet::new() });
            }
            Node::Tensor(tensor) => {
                let entry = Entry { path: self.copied_path()?, in_sequence, tensor: tensor.clone() };
                self.found.entries.push(entry);
            }
            Node::Object(call) => {
                let unreadable = Unreadable { path: self.copied_path()?, in_sequence, class: call.class.to_string() };
                self.charge(unreadable.class.len())?;
                self.found.unreadable.push(unreadable);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.on_path.remove(&open.id);
            self.sequences -= usize::from(matches!(self.nodes.get(open.id), Node::Sequence(_)));
        }
        self.path.pop();
    }

    fn copied_path(&mut self) -> Result<Vec<String>, String> {
        self.charge(self.path.iter().map(|key| key.len() + 1).sum())?;
        Ok(self.path.clone())
    }

    fn charge(&mut self, keys: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(keys as u64).ok_or_else(endless)?;
        Ok(())
    }
}

fn endless() -> String {
    "its dicts hold one another without end".into()
}

fn dotted(path: &[String], name: &str) -> String {
    path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}

/// Whether a call would have made a tensor or an array, had it been understood.
fn is_tensor(class: &str) -> bool {
    let is_array = class.starts_with("numpy") && class.ends_with("._reconstruct");
    is_array || class.starts_with("torch.") && (class.contains("._rebuild_") || class.ends_with("Storage"))
}

/// Why a call cannot stand where something else belongs.
pub fn refusal(class: &str, place: &str) -> String {
    format!(
        "{place} asks to call `{class}`, and a checkpoint is read here, never run, since that can run code; save the model's \
         state_dict() instead"
    )
}
