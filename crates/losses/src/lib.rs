//! Losses of image tokenizers.
#![doc = include_str!("../README.md")]

mod reconstruction;

pub use reconstruction::Reconstruction;
