#![doc = include_str!("../README.md")]

mod golden;

pub use golden::Golden;
