//! What a pickle describes, to be looked at.

use std::fmt;

use crate::pickle::{Call, Id, Node, Nodes};
use crate::tensor::TensorInfo;

/// A value that a pickle describes. Nothing was called for it: an object is its class's name and what it would be made of.
///
/// Values may be shared, and a dict may hold itself, so something that goes through all of them has to bound its work.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'f> {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A floating point number.
    Float(f64),
    /// A string.
    Text(&'f str),
    /// A tuple, a list or a set.
    Sequence(Sequence<'f>),
    /// A dict, ordered or not.
    Dict(Dict<'f>),
    /// A tensor, to be read with [`TorchFile::read`](crate::TorchFile::read).
    Tensor(&'f TensorInfo),
    /// An object of a class that is not known here, such as `argparse.Namespace`.
    Object(Object<'f>),
    /// A class or function itself, by its dotted path.
    Global(&'f str),
    /// A value of which only the kind is kept: "bytes", "int" (of more than 128 bits), "str" (not in UTF-8), "persistent id",
    /// "storage".
    Other(&'f str),
}

impl<'f> Value<'f> {
    pub(crate) fn new(nodes: &'f Nodes, id: Id) -> Self {
        match nodes.get(id) {
            Node::None => Self::None,
            Node::Bool(value) => Self::Bool(*value),
            Node::Int(value) => Self::Int(*value),
            Node::Float(value) => Self::Float(*value),
            Node::Text(text) => Self::Text(text),
            Node::Sequence(items) => Self::Sequence(Sequence { nodes, items }),
            Node::Dict(items) => Self::Dict(Dict { nodes, items }),
            Node::Tensor(tensor) => Self::Tensor(tensor),
            Node::Object(call) => Self::Object(Object { nodes, call }),
            Node::Global(path) => Self::Global(path),
            Node::Other(what) => Self::Other(what),
            Node::Storage(_) => Self::Other("storage"),
        }
    }

    /// The value under a key of a dict, the attribute of an object, the value at a place of a sequence in decimal digits; see
    /// [`Dict::get`] and [`Object::get`].
    pub fn get(self, key: &str) -> Option<Value<'f>> {
        match self {
            Self::Dict(dict) => dict.get(key),
            Self::Object(object) => object.get(key),
            Self::Sequence(sequence) => sequence.get(key.parse().ok()?),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(value) } else { None }
    }

    /// The whole number, if it is one.
    pub fn as_int(self) -> Option<i128> {
        if let Self::Int(value) = self { Some(value) } else { None }
    }

    /// The number, if it is one, whole ones included.
    pub fn as_float(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Int(value) => Some(value as f64),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_text(self) -> Option<&'f str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// The dict, if it is one.
    pub fn as_dict(self) -> Option<Dict<'f>> {
        if let Self::Dict(value) = self { Some(value) } else { None }
    }

    /// The tuple, list or set, if it is one.
    pub fn as_sequence(self) -> Option<Sequence<'f>> {
        if let Self::Sequence(value) = self { Some(value) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(self) -> Option<Object<'f>> {
        if let Self::Object(value) = self { Some(value) } else { None }
    }

    /// The tensor, if it is one.
    pub fn as_tensor(self) -> Option<&'f TensorInfo> {
        if let Self::Tensor(value) = self { Some(value) } else { None }
    }
}

/// A tuple, a list or a set.
#[derive(Clone, Copy)]
pub struct Sequence<'f> {
    nodes: &'f Nodes,
    items: &'f [Id],
}

impl<'f> Sequence<'f> {
    /// How many values it has.
    pub fn len(self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.items.is_empty()
    }

    /// The value at a place, counted from 0.
    pub fn get(self, place: usize) -> Option<Value<'f>> {
        self.items.get(place).map(|id| Value::new(self.nodes, *id))
    }

    /// Its values in the file's order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Value<'f>> {
        self.items.iter().map(move |id| Value::new(self.nodes, *id))
    }
}

/// A dict, in the file's order.
#[derive(Clone, Copy)]
pub struct Dict<'f> {
    nodes: &'f Nodes,
    items: &'f [(Id, Id)],
}

impl<'f> Dict<'f> {
    /// How many keys it has.
    pub fn len(self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.items.is_empty()
    }

    /// The value under a key, which is a string or the decimal digits of a whole number. If a file sets a key twice, the last counts.
    pub fn get(self, key: &str) -> Option<Value<'f>> {
        let is_key = |node: &Node| match node {
            Node::Text(text) => &**text == key,
            Node::Int(number) => key.parse() == Ok(*number) && number.to_string() == key,
            _ => false,
        };
        let item = self.items.iter().rev().find(|(id, _)| is_key(self.nodes.get(*id)));
        item.map(|(_, value)| Value::new(self.nodes, *value))
    }

    /// Its keys and values in the file's order; keys may be anything.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (Value<'f>, Value<'f>)> {
        let value = move |id: Id| Value::new(self.nodes, id);
        self.items.iter().map(move |(key, item)| (value(*key), value(*item)))
    }
}

/// An object of a class that is not known: a call that was noted, not made.
#[derive(Clone, Copy)]
pub struct Object<'f> {
    nodes: &'f Nodes,
    call: &'f Call,
}

impl<'f> Object<'f> {
    /// The dotted path of the class, or of the function that would make the object: `argparse.Namespace`.
    pub fn class(self) -> &'f str {
        &self.call.class
    }

    /// What the class or function would be called with: the parts of a path, the name of a device.
    pub fn arguments(self) -> Sequence<'f> {
        Sequence { nodes: self.nodes, items: &self.call.arguments }
    }

    /// What the object's attributes would be set from, mostly a dict.
    pub fn state(self) -> Option<Value<'f>> {
        self.call.state.map(|id| Value::new(self.nodes, id))
    }

    /// What the object, of a class that derives from `dict`, would hold.
    pub fn items(self) -> Dict<'f> {
        Dict { nodes: self.nodes, items: &self.call.items }
    }

    /// What it holds under a key as a dict, else the attribute of that name.
    pub fn get(self, name: &str) -> Option<Value<'f>> {
        let attribute = || match self.state()? {
            Value::Dict(attributes) => attributes.get(name),
            // Attributes, and those that have slots.
            Value::Sequence(parts) => parts.iter().find_map(|part| part.as_dict()?.get(name)),
            _ => None,
        };
        self.items().get(name).or_else(attribute)
    }
}

// What dicts and sequences hold is left out, since it may be endless.
impl fmt::Debug for Sequence<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "Sequence({} values)", self.len())
    }
}

impl fmt::Debug for Dict<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "Dict({} keys)", self.len())
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "Object({})", self.class())
    }
}
