//! The verb `reference`: the pages of the book that the binary describes itself: recipe keys and the command line.

mod commands;
mod recipe;

use std::path::PathBuf;
use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::cargo::root;
use crate::forward::binary;
use crate::setup;
use crate::terminal::say;

/// Writes the three files.
pub fn reference() -> Result<()> {
    setup::ensure()?;
    let schema = output(&mut binary("schema"))?;
    write("recipe.schema.json", &schema)?;
    write("recipe.md", &recipe::page(&serde_json::from_str(&schema)?))?;
    write("cli.md", &commands::page(help)?)
}

/// What `vqkit WORDS --help` prints, as wide as without a terminal.
fn help(words: &[&str]) -> Result<String> {
    let mut command = match words.split_first() {
        None => binary("--help"),
        Some((verb, more)) => {
            let mut command = binary(verb);
            command.args(more).arg("--help");
            command
        }
    };
    output(command.env_remove("COLUMNS"))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot start Cargo")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A file of the book's reference.
fn path(name: &str) -> PathBuf {
    root().join("docs/src/reference").join(name)
}

fn write(name: &str, text: &str) -> Result<()> {
    let path = path(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say!("{}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_recipe_keys_is_that_of_the_schema() {
        let [schema, page] = ["recipe.schema.json", "recipe.md"].map(|name| fs::read_to_string(path(name)).unwrap());
        let current = recipe::page(&serde_json::from_str(&schema).unwrap());
        assert!(page == current, "docs/src/reference/recipe.md is not current: run `cargo xtask reference`");
    }
}
