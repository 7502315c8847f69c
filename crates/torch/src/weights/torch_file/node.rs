//! What a pickle describes: values in one table, which refer to each other by their place in it.
//!
//! A table, so that shared and cyclic values need no counting of references, and deep ones no deep stack to drop.

use std::rc::Rc;

use tch::Kind;

/// A place in [`Nodes`].
pub type Id = usize;

/// One value.
#[derive(Debug)]
pub enum Node {
    None,
    Bool(bool),
    Int(i128),
    Text(Rc<str>),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    /// Keys and values in the file's order.
    Dict(Vec<(Id, Id)>),
    /// A class or function, by its dotted path.
    Global(Rc<str>),
    /// A value that weights do not need: what it is, or the path of what the pickle asks to call for it.
    Opaque(Rc<str>),
    Storage(Rc<Storage>),
    View(Rc<View>),
}

/// A part of the memory that the file holds under a key.
#[derive(Debug)]
pub struct Storage {
    pub key: Rc<str>,
    pub kind: Kind,
    /// The elements under the key.
    pub total: u64,
    /// The first element of this part.
    pub start: u64,
    /// The elements of this part.
    pub length: u64,
}

/// A tensor, which is a storage seen with a shape; strides and offset in elements.
#[derive(Debug)]
pub struct View {
    pub storage: Rc<Storage>,
    pub offset: u64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Nodes(Vec<Node>);

impl Nodes {
    pub fn push(&mut self, node: Node) -> Id {
        self.0.push(node);
        self.0.len() - 1
    }

    pub fn get(&self, id: Id) -> &Node {
        &self.0[id]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.0[id]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter()
    }

    pub fn sequence(&self, id: Id) -> Result<&[Id], String> {
        match self.get(id) {
            Node::Sequence(items) => Ok(items),
            other => Err(wrong("a tuple", other)),
        }
    }

    pub fn text(&self, id: Id) -> Result<&Rc<str>, String> {
        match self.get(id) {
            Node::Text(text) => Ok(text),
            other => Err(wrong("a string", other)),
        }
    }

    /// A number of elements: not negative.
    pub fn count(&self, id: Id) -> Result<u64, String> {
        match self.get(id) {
            Node::Int(value) => u64::try_from(*value).map_err(|_| wrong("a count", self.get(id))),
            other => Err(wrong("a count", other)),
        }
    }
}

fn wrong(wanted: &str, found: &Node) -> String {
    let found = match found {
        Node::None => "None".into(),
        Node::Bool(value) => format!("the truth value {value}"),
        Node::Int(value) => format!("the number {value}"),
        Node::Text(_) => "a string".into(),
        Node::Sequence(_) => "a tuple or list".into(),
        Node::Dict(_) => "a dict".into(),
        Node::Global(path) | Node::Opaque(path) => format!("`{path}`"),
        Node::Storage(_) => "a storage".into(),
        Node::View(_) => "a tensor".into(),
    };
    format!("its pickle is broken: {wanted} was expected, {found} is there")
}
