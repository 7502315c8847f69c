//! The machine: what a pickle asks to call is noted, and a few known calls are understood.

use std::collections::HashMap;

use super::input::Input;
use super::node::{Id, Node, Nodes};
use super::opcode::*;

/// Enough for 100 000 tensors; bounds the memory that a file can ask for.
const MAX_STEPS: u64 = 8_000_000;
/// The newest protocol of pickles.
const MAX_PROTOCOL: u8 = 5;

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    pub nodes: Nodes,
    pub root: Id,
}

impl Pickle {
    pub fn root(&self) -> &Node {
        self.nodes.get(self.root)
    }
}

/// Reads one pickle and stops behind it. The error is a reason without the file's name.
pub fn read(input: &mut Input) -> Result<Pickle, String> {
    let mut machine = Machine::new(input);
    loop {
        machine.charge(1)?;
        match machine.input.byte()? {
            STOP => break,
            code => machine.step(code)?,
        }
    }
    let root = machine.pop()?;
    Ok(Pickle { nodes: machine.nodes, root })
}

/// The stack machine that a pickle is written for.
pub struct Machine<'i, 'f> {
    pub input: &'i mut Input<'f>,
    pub nodes: Nodes,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    steps: u64,
}

impl<'i, 'f> Machine<'i, 'f> {
    fn new(input: &'i mut Input<'f>) -> Self {
        let (nodes, stack, marks, memo) = Default::default();
        Self { input, nodes, stack, marks, memo, steps: 0 }
    }

    /// Counts work, of which there has to be an end.
    pub fn charge(&mut self, steps: usize) -> Result<(), String> {
        self.steps += steps as u64;
        if self.steps > MAX_STEPS {
            return Err(format!("its pickle takes more than {MAX_STEPS} steps, too many for a state dict"));
        }
        Ok(())
    }

    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            PROTO => self.protocol(),
            FRAME => self.input.skip(8),
            NONE | NEWTRUE | NEWFALSE | INT | BININT | BININT1 | BININT2 | LONG | LONG1 | LONG4 | FLOAT | BINFLOAT => {
                let node = self.scalar(code)?;
                self.push(node)
            }
            STRING | UNICODE | BINSTRING | SHORT_BINSTRING | BINUNICODE | SHORT_BINUNICODE | BINUNICODE8 => {
                let node = self.text(code)?;
                self.push(node)
            }
            BINBYTES | SHORT_BINBYTES | BINBYTES8 | BYTEARRAY8 => self.blob(code),
            EMPTY_DICT | EMPTY_LIST | EMPTY_TUPLE | EMPTY_SET | DICT | LIST | TUPLE | FROZENSET | TUPLE1 | TUPLE2
            | TUPLE3 => {
                let node = self.container(code)?;
                self.push(node)
            }
            APPEND | APPENDS | ADDITEMS => self.extend(code),
            SETITEM | SETITEMS => self.insert(code),
            MARK | POP | POP_MARK | DUP => self.arrange(code),
            PUT | BINPUT | LONG_BINPUT | MEMOIZE => self.remember(code),
            GET | BINGET | LONG_BINGET => self.recall(code),
            GLOBAL | STACK_GLOBAL | REDUCE | NEWOBJ | NEWOBJ_EX | INST | OBJ | BUILD | PERSID | BINPERSID => {
                self.object(code)
            }
            _ => Err(format!("its pickle is broken: there is no operation {code:#04x}")),
        }
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.input.byte()? {
            0..=MAX_PROTOCOL => Ok(()),
            other => Err(format!("its pickle has protocol {other}, and {MAX_PROTOCOL} is the last that is read")),
        }
    }

    fn container(&mut self, code: u8) -> Result<Node, String> {
        Ok(match code {
            EMPTY_DICT => Node::Dict(Vec::new()),
            DICT => {
                let items = self.marked()?;
                Node::Dict(pairs(&items)?)
            }
            EMPTY_LIST | EMPTY_TUPLE | EMPTY_SET => Node::Sequence(Vec::new()),
            LIST | TUPLE | FROZENSET => Node::Sequence(self.marked()?),
            _ => Node::Sequence(self.popped(usize::from(code - TUPLE1) + 1)?),
        })
    }

    fn extend(&mut self, code: u8) -> Result<(), String> {
        let items = if code == APPEND { self.popped(1)? } else { self.marked()? };
        let target = self.top()?;
        match self.nodes.get_mut(target) {
            Node::Sequence(list) => list.extend(items),
            // Of a class that is not known.
            Node::Object(_) => {}
            _ => return Err("its pickle is broken: it appends to what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, code: u8) -> Result<(), String> {
        let items = if code == SETITEM { self.popped(2)? } else { self.marked()? };
        let target = self.top()?;
        match self.nodes.get_mut(target) {
            Node::Dict(dict) => dict.extend(pairs(&items)?),
            Node::Object(call) => call.items.extend(pairs(&items)?),
            _ => return Err("its pickle is broken: it sets items of what is no dict".into()),
        }
        Ok(())
    }

    fn arrange(&mut self, code: u8) -> Result<(), String> {
        match code {
            MARK => self.marks.push(self.stack.len()),
            POP_MARK => drop(self.marked()?),
            // POP also takes back a mark that nothing was put upon.
            POP if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            POP => drop(self.pop()?),
            _ => {
                let top = self.top()?;
                self.stack.push(top);
            }
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), String> {
        let slot = if code == MEMOIZE { self.memo.len() as u64 } else { self.slot(code, BINPUT, LONG_BINPUT)? };
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let slot = self.slot(code, BINGET, LONG_BINGET)?;
        let id = self.memo.get(&slot).ok_or_else(|| format!("its pickle is broken: it recalls {slot}, unknown"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn slot(&mut self, code: u8, short: u8, long: u8) -> Result<u64, String> {
        match code {
            code if code == short => self.input.length(1),
            code if code == long => self.input.length(4),
            _ => self
                .input
                .line()?
                .parse()
                .map_err(|_| "its pickle is broken: a place in its memory is no number".into()),
        }
    }
}

impl Machine<'_, '_> {
    pub fn push(&mut self, node: Node) -> Result<(), String> {
        self.charge(1)?;
        let id = self.nodes.push(node);
        self.stack.push(id);
        Ok(())
    }

    pub fn push_known(&mut self, id: Id) {
        self.stack.push(id);
    }

    /// Takes the topmost value, but none from below a mark.
    pub fn pop(&mut self) -> Result<Id, String> {
        Ok(self.popped(1)?[0])
    }

    pub fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    pub fn popped(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let at = self.stack.len().checked_sub(count).filter(|at| *at >= floor).ok_or_else(empty)?;
        Ok(self.stack.split_off(at))
    }

    /// Takes everything above the last mark, and the mark.
    pub fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(empty)?;
        Ok(self.stack.split_off(mark))
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("its pickle is broken: a key has no value".into())
    }
}

fn empty() -> String {
    "its pickle is broken: it takes a value where there is none".into()
}
