//! The objects of a pickle: the few classes and functions that a state dict is made of, and none other.

use std::sync::Arc;

use super::machine::Machine;
use super::node::{Id, Node};
use super::opcode::*;
use crate::dtype::Dtype;
use crate::storage::Storage;
use crate::tensor::TensorInfo;

/// libtorch's own limit.
const MAX_DIMENSIONS: usize = 64;
/// The longest path of a class or function.
const MAX_PATH: usize = 1000;

impl Machine<'_, '_> {
    pub fn object(&mut self, code: u8) -> Result<(), String> {
        match code {
            GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Node::Global(format!("{module}.{name}").into()))
            }
            STACK_GLOBAL => self.stack_global(),
            BUILD => self.build(),
            PERSID => {
                self.input.line()?;
                self.push(Node::Other("persistent id"))
            }
            BINPERSID => self.persistent(),
            _ => self.call(code),
        }
    }

    fn stack_global(&mut self) -> Result<(), String> {
        let names = self.popped(2)?;
        let (module, name) = (self.nodes.text(names[0])?, self.nodes.text(names[1])?);
        if module.len() + name.len() > MAX_PATH {
            return Err(format!("its pickle names a class with more than {MAX_PATH} characters"));
        }
        let path = format!("{module}.{name}").into();
        self.push(Node::Global(path))
    }

    fn call(&mut self, code: u8) -> Result<(), String> {
        let (callee, arguments) = match code {
            INST => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                (self.nodes.push(Node::Global(format!("{module}.{name}").into())), self.marked()?)
            }
            OBJ => {
                let mut items = self.marked()?;
                if items.is_empty() {
                    return Err("its pickle is broken: it makes an object of no class".into());
                }
                (items.remove(0), items)
            }
            _ => {
                if code == NEWOBJ_EX {
                    self.pop()?;
                }
                let [callee, arguments] = self.popped(2)?[..] else { return Ok(()) };
                let arguments = match self.nodes.get(arguments) {
                    Node::Object(_) | Node::Other(_) => Vec::new(),
                    _ => self.nodes.sequence(arguments)?.to_vec(),
                };
                (callee, arguments)
            }
        };
        self.charge(arguments.len())?;
        match self.nodes.get(callee) {
            Node::Global(path) => {
                let path = path.clone();
                self.known(path, arguments)
            }
            // What an unknown call would give, called.
            Node::Object(call) => {
                let class = call.class.clone();
                self.push(Node::object(class, arguments))
            }
            _ => Err("its pickle is broken: it calls what is no function".into()),
        }
    }

    /// The calls that are understood; any other is noted.
    fn known(&mut self, path: Arc<str>, arguments: Vec<Id>) -> Result<(), String> {
        match (&*path, &arguments[..]) {
            ("collections.OrderedDict", []) | ("collections.defaultdict", _) => self.push(Node::Dict(Vec::new())),
            ("collections.OrderedDict", [items]) => self.dict_of(*items),
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                [storage, offset, size, stride, ..],
            ) => self.view(*storage, *offset, *size, *stride),
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [data, ..])
            | ("torch.Size", [data]) => {
                self.push_known(*data);
                Ok(())
            }
            // How protocols 0 and 1 make an object of a class.
            ("copyreg._reconstructor" | "copy_reg._reconstructor" | "copyreg.__newobj__", [class, ..]) => {
                let class = match self.nodes.get(*class) {
                    Node::Global(class) => class.clone(),
                    _ => path,
                };
                self.push(Node::object(class, Vec::new()))
            }
            _ => self.push(Node::object(path, arguments)),
        }
    }

    /// An ordered dict of Python 2 gets its items as a list of pairs.
    fn dict_of(&mut self, items: Id) -> Result<(), String> {
        let items = self.nodes.sequence(items)?.to_vec();
        self.charge(items.len())?;
        let pair = |item: Id| match self.nodes.sequence(item)? {
            [key, value] => Ok((*key, *value)),
            _ => Err("its pickle is broken: an item of a dict is no pair".to_owned()),
        };
        let pairs = items.into_iter().map(pair).collect::<Result<_, _>>()?;
        self.push(Node::Dict(pairs))
    }

    /// Attributes; those of dicts and tensors are not kept.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Node::Object(call) = self.nodes.get_mut(target) {
            call.state = Some(state);
        }
        Ok(())
    }

    fn view(&mut self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<(), String> {
        let node = match self.nodes.get(storage) {
            Node::Storage(storage) => {
                let (storage, offset) = (storage.clone(), self.nodes.count(offset)?);
                let (size, stride) = (self.lengths(size)?, self.lengths(stride)?);
                // These are copies, and one tuple may serve any number of tensors.
                self.charge(size.len() + stride.len())?;
                Node::Tensor(TensorInfo::new(storage, offset, size, stride))
            }
            Node::Object(call) => Node::object(call.class.clone(), Vec::new()),
            _ => return Err("its pickle is broken: a tensor has no storage".into()),
        };
        self.push(node)
    }

    fn lengths(&self, id: Id) -> Result<Vec<u64>, String> {
        let items = self.nodes.sequence(id)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("a tensor has {} dimensions, at most {MAX_DIMENSIONS} are possible", items.len()));
        }
        let length = |id: &Id| {
            let length = self.nodes.count(*id)?;
            // PyTorch counts with signed numbers.
            let is_possible = i64::try_from(length).is_ok();
            is_possible.then_some(length).ok_or_else(|| format!("a tensor has the impossible length {length}"))
        };
        items.iter().map(length).collect()
    }

    /// `("storage", class, key, location, elements)`, in the legacy format also a view: `(key, offset, elements)` or None;
    /// `("module", class, …)` in the legacy format.
    fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let parts = self.nodes.sequence(id)?;
        let tag = parts.first().map(|tag| self.nodes.text(*tag)).transpose()?;
        let (class, key, total, view) = match (tag.map_or("", |tag| tag), parts) {
            ("module", [_, class, ..]) => {
                self.push_known(*class);
                return Ok(());
            }
            ("storage", [_, class, key, _, total]) => (*class, *key, *total, None),
            ("storage", [_, class, key, _, total, view]) => (*class, *key, *total, Some(*view)),
            _ => return Err("its pickle is broken: a storage is described in another way than PyTorch does".into()),
        };
        let Node::Global(class) = self.nodes.get(class) else {
            return Err("its pickle is broken: a storage has no class".into());
        };
        let Some(dtype) = Dtype::of_storage(class) else {
            let class = class.clone();
            return self.push(Node::object(class, vec![key, total]));
        };
        let (key, total) = (self.nodes.text(key)?.clone(), self.nodes.count(total)?);
        let (start, length) = self.part(view, total)?;
        self.push(Node::Storage(Arc::new(Storage { key, dtype, total, start, length })))
    }

    fn part(&self, view: Option<Id>, total: u64) -> Result<(u64, u64), String> {
        let Some(view) = view.filter(|view| !matches!(self.nodes.get(*view), Node::None)) else {
            return Ok((0, total));
        };
        let [_, start, length] = *self.nodes.sequence(view)? else {
            return Err("its pickle is broken: a part of a storage is no (key, offset, elements)".into());
        };
        let (start, length) = (self.nodes.count(start)?, self.nodes.count(length)?);
        match start.checked_add(length) {
            Some(end) if end <= total => Ok((start, length)),
            _ => Err(format!("a part of a storage, {length} elements from {start}, leaves its {total} elements")),
        }
    }
}
