//! The files of the checkout; and that none of them names a place on somebody's machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::expect_none;

/// Folders that are built, downloaded or written by runs, as seen from the root.
const NOT_SOURCES: &[&str] =
    &[".git", ".libtorch", "data", "runs", "fuzz/artifacts", "fuzz/corpus", "fuzz/coverage", "fuzz/target"];

/// Beginnings of absolute paths that exist on one machine only.
const PLACES: &[&str] = &["home/", "root/", "Users/", "work/"];

/// The root of the checkout.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).into()
}

/// The source files whose names end with one of `endings`, in order.
pub fn sources(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.retain(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    found.sort();
    found
}

/// The path as seen from the root.
pub fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The text of a file.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = short(&path);
        let built = NOT_SOURCES.contains(&name.as_str()) || (folder == root() && name.starts_with("target"));
        match path.is_dir() {
            true if !built => collect(&path, found),
            true => {}
            false => found.push(path),
        }
    }
}

/// The places on one machine that a text names.
fn places(text: &str) -> Vec<String> {
    let begins_a_path =
        |text: &str, at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-$}>/".contains(c));
    let named = |place: &&str| {
        let path = format!("/{place}");
        let found = text.match_indices(&path).any(|(at, _)| begins_a_path(text, at));
        found.then_some(path)
    };
    PLACES.iter().filter_map(named).collect()
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let texts = sources(&[".rs", ".toml", ".md", ".py", ".txt", ".cpp", ".h", ".sh", "/run", ".yaml", ".yml"]);
    let named = texts.iter().flat_map(|path| {
        places(&read(path)).into_iter().map(|place| format!("{}: names a path below {place}", short(path)))
    });
    expect_none(&named.collect::<Vec<_>>());
}

#[test]
fn a_place_is_seen_and_a_relative_path_is_not() {
    let [home, work] = ["home/me", "work/main"].map(|place| format!("see /{place}"));
    assert_eq!(places(&home).len(), 1);
    assert_eq!(places(&work).len(), 1);
    assert!(places("target/root/main, $HOME/home/x and ../root/x").is_empty());
}
