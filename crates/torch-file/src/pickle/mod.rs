//! Pickles, read without running anything.
//!
//! A pickle is a program for a small machine, which may ask to call any function of Python. The machine here knows the calls
//! that a state dict is made of (`collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, the storages, …); of any
//! other it notes the name, the arguments and the state, so that what a checkpoint holds beside its weights does no harm.

mod input;
mod literal;
mod machine;
mod node;
mod object;
mod opcode;

pub use input::Input;
pub use machine::{Pickle, read};
pub use node::{Call, Id, Node, Nodes};
