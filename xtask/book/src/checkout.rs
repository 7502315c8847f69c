//! The Markdown files of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders in the root that are built, downloaded or written by runs; those that begin with a dot are none of ours either.
const NOT_SOURCES: &[&str] = &["data", "runs"];

/// The Markdown files below `root`, as seen from there, in order.
pub fn markdown(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(folder);
    let unreadable = || format!("cannot read {}", path.display());
    for entry in fs::read_dir(&path).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let in_root = folder.as_os_str().is_empty();
        let is_built = in_root && (name.starts_with("target") || NOT_SOURCES.contains(&name.as_str()));
        let path = folder.join(&name);
        if entry.path().is_dir() {
            if !is_built && !name.starts_with('.') {
                collect(root, &path, found)?;
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    Ok(())
}

/// A small checkout with a sound book, in which `files` replace or join the others.
#[cfg(test)]
pub fn fixture(files: &[(&str, &str)]) -> tempfile::TempDir {
    const SOUND: &[(&str, &str)] = &[
        (
            "README.md",
            "# vqkit\n\nRead [how to run](docs/src/guide/run.md#resume-a-run), see [the recipes](configs/).\n",
        ),
        ("configs/demo.toml", "# The demo.\n"),
        ("docs/ARCHITECTURE.md", "# Architecture\n\nIt begins with [a recipe](../configs/demo.toml).\n"),
        ("docs/book.toml", "[book]\ntitle = \"Book\"\n\n[build]\ncreate-missing = false\n"),
        ("docs/src/SUMMARY.md", "# Summary\n\n[What it is](introduction.md)\n\n- [Run](guide/run.md)\n"),
        ("docs/src/introduction.md", "# What it is\n\n![A picture](dot.png)\n\nThen [run](guide/run.md).\n"),
        ("docs/src/dot.png", ""),
        (
            "docs/src/guide/run.md",
            "# Run\n\n## Resume a run\n\nBack to [the beginning](../introduction.md#what-it-is).\n",
        ),
    ];
    let checkout = tempfile::tempdir().expect("a temporary folder");
    for (file, text) in SOUND.iter().chain(files) {
        let path = checkout.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for the file");
        fs::write(path, text).expect("a file of the fixture");
    }
    checkout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_hidden_is_left_out() {
        let checkout =
            fixture(&[("target/x.md", ""), (".venv/x.md", ""), ("runs/x.md", ""), ("crates/data/README.md", "")]);
        let found = markdown(checkout.path()).unwrap();
        let found: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
        let expected = ["README.md", "crates/data/README.md", "docs/ARCHITECTURE.md", "docs/src/SUMMARY.md"];
        assert_eq!(found[..4], expected);
        assert_eq!(found.len(), 6);
    }
}
