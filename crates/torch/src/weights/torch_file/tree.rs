//! From what a pickle describes to names and tensors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;

use super::node::{Id, Node, Nodes, View};
use super::pickle::Pickle;

/// What a Lightning checkpoint calls its tensors.
const STATE_DICT: &str = "state_dict";
/// Names may take as many bytes as the file, and this at least.
const MIN_NAMES: u64 = 1 << 20;

/// The tensors of a pickle by dotted names: those of `state_dict` where there is one, else of the root.
///
/// A dict may stand in many places, even within itself; `file_length` bounds what comes of that.
pub fn views(pickle: &Pickle, file_length: u64) -> Result<BTreeMap<String, Rc<View>>, String> {
    let nodes = &pickle.nodes;
    let root = entries(nodes, pickle.root, "its root")?;
    let inner = root.iter().find(|(key, _)| matches!(nodes.get(*key), Node::Text(key) if &**key == STATE_DICT));
    let root = inner.map_or(Ok(root), |(_, value)| entries(nodes, *value, "`state_dict`"))?;
    let mut views = BTreeMap::new();
    let mut left = file_length.max(MIN_NAMES);
    let mut array = None;
    let mut open: Vec<(String, &[(Id, Id)])> = vec![(String::new(), root)];
    while let Some((prefix, dict)) = open.pop() {
        for (key, value) in dict {
            let Some(name) = name(nodes, &prefix, *key) else { continue };
            left = left.checked_sub(name.len() as u64 + 1).ok_or("its dicts hold one another without end")?;
            match nodes.get(*value) {
                Node::Dict(dict) => open.push((name, dict)),
                Node::View(view) => {
                    match views.entry(name) {
                        Entry::Vacant(entry) => entry.insert(view.clone()),
                        Entry::Occupied(entry) => {
                            return Err(format!("two of its tensors are called `{}`", entry.key()));
                        }
                    };
                }
                Node::Opaque(path) if is_tensor(path) => {
                    return Err(format!("`{name}` is made with `{path}`, a kind of tensor that is not read"));
                }
                Node::Opaque(path) if path.starts_with("numpy") => array = Some(name),
                _ => {}
            }
        }
    }
    match (views.is_empty(), array) {
        (false, _) => Ok(views),
        (true, None) => Err("there is no tensor in it".into()),
        (true, Some(name)) => Err(format!(
            "there is no tensor in it, but numpy's arrays, such as `{name}`: save tensors, which torch.from_numpy makes of them"
        )),
    }
}

fn entries<'a>(nodes: &'a Nodes, id: Id, place: &str) -> Result<&'a [(Id, Id)], String> {
    match nodes.get(id) {
        Node::Dict(entries) => Ok(entries),
        node => Err(refusal(node, place)),
    }
}

/// Why a value cannot stand where a dict of tensors belongs.
pub fn refusal(node: &Node, place: &str) -> String {
    let hint = "save the model's state_dict() instead";
    match node {
        Node::Opaque(path) => {
            format!(
                "{place} asks to call `{path}`, and a checkpoint is read here, never run, since that can run code; {hint}"
            )
        }
        Node::View(_) => format!("{place} is a tensor, not a dict of tensors; {hint}"),
        _ => format!("{place} is not a dict of tensors; {hint}"),
    }
}

fn name(nodes: &Nodes, prefix: &str, key: Id) -> Option<String> {
    let key = match nodes.get(key) {
        Node::Text(key) => key.to_string(),
        Node::Int(key) => key.to_string(),
        _ => return None,
    };
    Some(if prefix.is_empty() { key } else { format!("{prefix}.{key}") })
}

/// Whether a call would have made a tensor, had it been understood.
fn is_tensor(path: &str) -> bool {
    path.starts_with("torch.") && (path.contains("._rebuild_") || path.ends_with("Storage"))
}
