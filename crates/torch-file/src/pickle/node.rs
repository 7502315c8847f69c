//! What a pickle describes: values in one table, which refer to each other by their place in it.
//!
//! A table, so that shared and cyclic values need no counting of references, and deep ones no deep stack to drop.

use std::fmt;
use std::sync::Arc;

use crate::storage::Storage;
use crate::tensor::TensorInfo;

/// A place in [`Nodes`].
pub type Id = usize;

/// One value.
#[derive(Debug)]
pub enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    /// Keys and values in the file's order.
    Dict(Vec<(Id, Id)>),
    /// A class or function, by its dotted path.
    Global(Arc<str>),
    /// A value that is not kept, by what it is.
    Other(&'static str),
    /// What the pickle asks to call, and what it would get.
    Object(Box<Call>),
    Storage(Arc<Storage>),
    Tensor(TensorInfo),
}

/// A call that is not made.
#[derive(Debug)]
pub struct Call {
    /// The dotted path of the class or function.
    pub class: Arc<str>,
    pub arguments: Vec<Id>,
    /// What is set in the result as in a dict.
    pub items: Vec<(Id, Id)>,
    /// What the result's attributes are set from, mostly a dict.
    pub state: Option<Id>,
}

impl Node {
    /// A call that is not made, before anything is set in its result.
    pub fn object(class: Arc<str>, arguments: Vec<Id>) -> Self {
        Self::Object(Box::new(Call { class, arguments, items: Vec::new(), state: None }))
    }
}

/// The table.
#[derive(Default)]
pub struct Nodes(Vec<Node>);

impl fmt::Debug for Nodes {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "Nodes({})", self.0.len())
    }
}

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

    pub fn text(&self, id: Id) -> Result<&Arc<str>, String> {
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
        Node::Float(value) => format!("the number {value:?}"),
        Node::Text(_) => "a string".into(),
        Node::Sequence(_) => "a tuple or list".into(),
        Node::Dict(_) => "a dict".into(),
        Node::Global(path) => format!("`{path}`"),
        Node::Object(call) => format!("`{}`", call.class),
        Node::Other(what) => format!("`{what}`"),
        Node::Storage(_) => "a storage".into(),
        Node::Tensor(_) => "a tensor".into(),
    };
    format!("its pickle is broken: {wanted} was expected, {found} is there")
}
