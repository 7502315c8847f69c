//! From what a pickle describes to its tensors, by the keys that lead to them.

use std::collections::HashSet;

use crate::pickle::{Call, Id, Node, Nodes, Pickle};
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

/// Everything that is reachable from the root through dicts (and objects of classes that derive from dict), lists, tuples and sets, in the file's order.
#[derive(Default)]
pub struct Found {
    pub entries: Vec<Entry>,
    pub unreadable: Vec<Unreadable>,
}

/// A dict, an object that is one, or a sequence, which is being gone through.
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

/// The key and value number `at` of what holds others.
fn child(nodes: &Nodes, id: Id, at: usize) -> Option<(Key<'_>, Id)> {
    match nodes.get(id) {
        Node::Dict(items) => items.get(at).map(|(key, value)| (Key::Of(nodes.get(*key)), *value)),
        Node::Object(call) => call.items.get(at).map(|(key, value)| (Key::Of(nodes.get(*key)), *value)),
        Node::Sequence(items) => items.get(at).map(|value| (Key::Place(at), *value)),
        _ => None,
    }
}

/// What leads to a value: the key of a dict, or the place in a sequence.
enum Key<'p> {
    Of(&'p Node),
    Place(usize),
}

impl Key<'_> {
    /// None if no name can be made of it.
    fn name(self) -> Result<Option<String>, String> {
        match self {
            Self::Place(place) => Ok(Some(place.to_string())),
            Self::Of(Node::Text(text)) => Ok(Some(text.to_string())),
            Self::Of(Node::Int(number)) => Ok(Some(number.to_string())),
            Self::Of(Node::Other("str")) => Err("a tensor or dict in it has a name that is not in UTF-8".into()),
            Self::Of(_) => Ok(None),
        }
    }
}

impl Walk<'_> {
    fn step(&mut self, key: Key, value: Id) -> Result<(), String> {
        self.charge(1)?;
        let is_of_interest = match self.nodes.get(value) {
            Node::Dict(_) | Node::Sequence(_) | Node::Tensor(_) => true,
            Node::Object(call) => {
                self.charge(call.arguments.len())?;
                is_unreadable(self.nodes, call) || !call.items.is_empty()
            }
            _ => false,
        };
        if !is_of_interest {
            return Ok(());
        }
        let Some(name) = key.name()? else { return Ok(()) };
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

    /// Notes a tensor, opens what holds others.
    fn visit(&mut self, id: Id) -> Result<(), String> {
        let in_sequence = self.sequences > 0;
        match self.nodes.get(id) {
            Node::Dict(_) => self.open(id)?,
            Node::Sequence(_) => {
                self.open(id)?;
                self.sequences += 1;
            }
            Node::Tensor(tensor) => {
                let entry = Entry { path: self.copied_path()?, in_sequence, tensor: tensor.clone() };
                self.found.entries.push(entry);
            }
            Node::Object(call) if is_unreadable(self.nodes, call) => {
                let unreadable = Unreadable { path: self.copied_path()?, in_sequence, class: call.class.to_string() };
                self.charge(unreadable.class.len())?;
                self.found.unreadable.push(unreadable);
            }
            // Of a class that derives from dict.
            Node::Object(call) if !call.items.is_empty() => self.open(id)?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, id: Id) -> Result<(), String> {
        if !self.on_path.insert(id) {
            return Err(endless());
        }
        self.open.push(Open { id, next: 0, names: HashSet::new() });
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

/// Whether a call would have made a tensor or an array, had it been understood: by its name, or since it is given one.
fn is_unreadable(nodes: &Nodes, call: &Call) -> bool {
    let is_array = call.class.starts_with("numpy") && call.class.ends_with("._reconstruct");
    let is_tensor =
        call.class.starts_with("torch.") && (call.class.contains("._rebuild_") || call.class.ends_with("Storage"));
    is_array
        || is_tensor
        || call.arguments.iter().any(|id| matches!(nodes.get(*id), Node::Storage(_) | Node::Tensor(_)))
}

/// Why a call cannot stand where something else belongs.
pub fn refusal(class: &str, place: &str) -> String {
    format!(
        "{place} asks to call `{class}`, and a checkpoint is read here, never run, since that can run code; save the model's \
         state_dict() instead"
    )
}
