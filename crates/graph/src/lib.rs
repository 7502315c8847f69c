#![doc = include_str!("../README.md")]

mod builder;
mod error;
mod facts;
mod graph;
mod networks;
mod onnx;
mod op;
mod quantizers;
mod tokenizer;
mod torchscript;

pub use error::GraphError;
pub use graph::{Graph, Node, Value};
pub use op::Op;
pub use tokenizer::TokenizerGraph;
