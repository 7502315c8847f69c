//! Sections of recipes, from keys and values.

use toml::{Table, Value};

/// A table of one level.
pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
