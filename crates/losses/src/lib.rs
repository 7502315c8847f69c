//! Losses of image tokenizers.
#![doc = include_str!("../README.md")]

mod error;
mod reconstruction;
mod small_vgg;

pub use error::LossError;
pub use reconstruction::Reconstruction;
pub use small_vgg::{FrozenVgg, SmallVgg, SmallVggConfig};
