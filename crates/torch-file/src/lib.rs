#![doc = include_str!("../README.md")]

mod archive;
mod dtype;
mod error;
mod file;
mod legacy;
mod pickle;
mod places;
mod section;
mod storage;
mod strided;
mod tensor;
mod value;
mod walk;

pub use dtype::Dtype;
pub use error::TorchFileError;
pub use file::TorchFile;
pub use tensor::TensorInfo;
pub use value::{Dict, Object, Sequence, Value};
pub use walk::{Entry, Unreadable};
