//! Any text as the YAML or JSON file beside a checkpoint.
//!
//! The parser is compiled by itself, out of the crate that links libtorch otherwise.

#![no_main]

#[path = "../../crates/foreign/src/nested_values.rs"]
mod nested_values;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Deeper values would overflow the stack of what walks them.
const DEEPEST: usize = 1000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for is_json in [false, true] {
        if let Ok(value) = nested_values::parse(text, is_json) {
            assert!(depth(&value) < DEEPEST);
        }
    }
});

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
