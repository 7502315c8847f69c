//! What a tokenizer is worth.
#![doc = include_str!("../README.md")]

mod pixels;

pub use pixels::PixelError;
