//! CPU kernels for a transformer that reads one token at a time.
//!
//! libtorch's product of a few rows with a large matrix reads the matrix at a third of the memory's pace, and rounds a row
//! differently in a batch of another size. These read it at the memory's pace, and give a row the same bits in every batch.

mod attention;
mod cpu;
mod linear;
mod numbers;
mod panel;
mod vector;

pub(crate) use attention::{Heads, Past, attend};
pub(crate) use linear::{OutputRow, PackedLinear};
pub(crate) use numbers::{numbers, numbers_mut};
