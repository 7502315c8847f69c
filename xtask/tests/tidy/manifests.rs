//! Manifests: versions stand in the workspace's one table, and every crate keeps the workspace's lints.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::expect_none;
use crate::files::{read, root, short};

/// The members that are workflows, and no part of what is built.
const TOOLS: &[&str] = &["xtask", "xtask/book"];

/// The folders of the workspace's members.
pub fn members() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).into_iter().flatten().flatten().map(|entry| entry.path());
    let tools = TOOLS.iter().map(|tool| root().join(tool));
    let mut members: Vec<_> = crates.chain(tools).filter(|path| path.join("Cargo.toml").is_file()).collect();
    members.sort();
    members
}

/// Whether the member in this folder is a workflow.
pub fn is_tool(member: &Path) -> bool {
    TOOLS.iter().any(|tool| member == root().join(tool))
}

/// The manifest in the folder `member`.
pub fn manifest(member: &Path) -> Table {
    let path = member.join("Cargo.toml");
    read(&path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The name of a member's folder, by which the rules know it.
pub fn folder_name(member: &Path) -> String {
    member.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names in a manifest's tables `section`, those for one system only included.
pub fn dependencies(manifest: &Table, section: &str) -> Vec<String> {
    let systems = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = systems.filter_map(|system| system.get(section)).chain(manifest.get(section));
    tables.filter_map(Value::as_table).flat_map(Table::keys).cloned().collect()
}

/// The dependencies of a manifest, of all kinds, that do not take their version from the workspace.
fn own_versions(manifest: &Table) -> Vec<String> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections.iter().filter_map(|section| manifest.get(*section).and_then(Value::as_table));
    let from_workspace = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
    let own = tables.flatten().filter(|(_, value)| !from_workspace(value));
    own.map(|(name, _)| format!("{name}: write `{name}.workspace = true`, and the version into the root's table"))
        .collect()
}

/// Keys of `[package]` and `[lints]` that do not come from the workspace.
fn own_settings(manifest: &Table) -> Vec<String> {
    let inherited = |table: Option<&Value>| table.and_then(|value| value.get("workspace")).is_some();
    let keys = ["version", "edition", "rust-version", "license"];
    let package = manifest.get("package");
    let mut own: Vec<String> = keys
        .into_iter()
        .filter(|key| !inherited(package.and_then(|package| package.get(*key))))
        .map(|key| format!("{key}: write `{key}.workspace = true`"))
        .collect();
    if !inherited(manifest.get("lints")) {
        own.push("lints: write `[lints] workspace = true`".into());
    }
    own
}

#[test]
fn versions_stand_in_the_workspaces_table() {
    let found = members().into_iter().flat_map(|member| {
        let manifest = manifest(&member);
        let wrong = own_versions(&manifest).into_iter().chain(own_settings(&manifest));
        wrong.map(move |wrong| format!("{}: {wrong}", short(&member))).collect::<Vec<_>>()
    });
    expect_none(&found.collect::<Vec<_>>());
}

#[test]
fn every_library_crate_has_a_readme() {
    let crates = members().into_iter().filter(|member| member.join("src/lib.rs").is_file());
    let bare = crates.filter(|member| !member.join("README.md").is_file());
    expect_none(&bare.map(|member| format!("{}: has no README.md", short(&member))).collect::<Vec<_>>());
}

#[test]
fn a_version_of_ones_own_is_found() {
    let own: Table = "dependencies.serde = '1.0'\ndependencies.tch = { version = '1', features = [] }".parse().unwrap();
    assert_eq!(own_versions(&own).len(), 2);
    let shared: Table = "dependencies.serde = { workspace = true, features = ['rc'] }".parse().unwrap();
    assert!(own_versions(&shared).is_empty());
    assert_eq!(own_settings(&shared).len(), 5);
}
