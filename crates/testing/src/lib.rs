#![doc = include_str!("../README.md")]

mod formula;
mod golden;

pub use golden::Golden;
