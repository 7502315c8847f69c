//! Typed TOML: a [`Document`] is read once, takes overrides, and turns into structs whose errors name file, line and key.
#![doc = include_str!("../README.md")]

mod depth;
mod document;
mod tagged;

pub use document::{ConfigError, Document, Section};
pub use tagged::{Registry, Tag};
pub use {schemars, serde};
