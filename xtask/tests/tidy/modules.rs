//! Modules: each opens with what it is, and none grows past reading.

use crate::expect_none;
use crate::files::{read, short, sources};

/// Lines that a file may have; 400 without its tests is the aim.
const LONGEST: usize = 600;

/// What is wrong with a module's text.
fn violations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!(") {
        found.push("does not open with `//!` and what it is".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!("has {lines} lines, {LONGEST} at most: split it by subject"));
    }
    found
}

#[test]
fn every_module_says_what_it_is_and_is_short() {
    let found = sources(&[".rs"])
        .into_iter()
        .flat_map(|path| violations(&read(&path)).into_iter().map(move |wrong| format!("{}: {wrong}", short(&path))));
    expect_none(&found.collect::<Vec<_>>());
}

/// The one library that consists of others.
const FACADE: &str = "crates/vqkit/src/lib.rs";

#[test]
fn no_crate_hands_out_the_insides_of_another() {
    let libraries = sources(&["/src/lib.rs"]);
    let own = libraries.iter().filter(|path| short(path) != FACADE);
    let found = own.filter(|path| read(path).lines().any(|line| line.starts_with("pub use vqkit_")));
    expect_none(&found.map(|path| format!("{}: re-exports another crate", short(path))).collect::<Vec<_>>());
}

#[test]
fn a_bare_or_long_module_is_found() {
    assert_eq!(violations("use std::fmt;\n").len(), 1);
    assert_eq!(violations(&format!("//! Long.\n{}", "\n".repeat(LONGEST))).len(), 1);
    assert!(violations("//! Short.\n").is_empty());
}
