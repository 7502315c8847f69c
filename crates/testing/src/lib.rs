#![doc = include_str!("../README.md")]

mod draws;
mod formula;
mod golden;
mod needs;

pub use draws::{Draws, Generator, generator};
pub use golden::Golden;
pub use needs::{corpus, needed_in_ci, optional};
