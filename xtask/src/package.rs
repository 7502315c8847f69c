//! A dry run of publishing: every crate is packed as a registry would get it. Nothing is built: the crates were, and a house rule
//! says that none needs a file from outside of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, target_dir};

/// Crates that stay here.
const OWN: [&str; 3] = ["xtask", "vqkit-book", "vqkit-testing"];

/// What the workspace and its crates are made of.
const MEMBERS: [&str; 6] = ["Cargo.toml", "Cargo.lock", "crates", "tests", "benches", "xtask"];

/// The line of the workspace's manifest that keeps crates from being published by accident.
const OFF: &str = "publish = false";

/// Packs every crate of a copy of the checkout in which publishing is on.
pub fn dry_run(flags: &[&str]) -> Result<()> {
    let folder = target_dir().join("publish");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    MEMBERS.iter().try_for_each(|name| copy(&root().join(name), &folder.join(name)))?;
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    if !text.contains(OFF) {
        bail!("{} does not say `{OFF}`", manifest.display());
    }
    fs::write(&manifest, text.replacen(OFF, "publish = true", 1))?;
    let mut publish = cargo(&["publish", "--workspace", "--dry-run", "--no-verify", "--allow-dirty"]);
    publish.args(flags).args(OWN.iter().flat_map(|name| ["--exclude", name]));
    run(publish.current_dir(&folder))?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Copies a file, or a folder with everything below it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {}", from.display());
    if from.is_file() {
        return fs::copy(from, to).map(drop).with_context(failed);
    }
    fs::create_dir_all(to).with_context(failed)?;
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_copied_with_what_is_below_them() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/c.txt"), "text").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/c.txt")).unwrap(), "text");
        assert!(copy(&folder.path().join("none"), &to).is_err());
    }
}
