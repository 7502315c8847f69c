//! Typed TOML: a [`Document`] is read once, takes overrides, and turns into structs whose errors name file, line and key.

mod document;
mod tagged;

pub use document::{ConfigError, Document};
pub use serde;
pub use tagged::{Registry, Tag};
