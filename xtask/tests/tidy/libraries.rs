//! Libraries: they know of no command line and no terminal, and each can be read in a sitting.

use std::path::Path;

use crate::exemptions::{Broken, unexempted};
use crate::expect_none;
use crate::files::{read, sources};
use crate::manifests::{dependencies, folder_name, is_tool, manifest, members};

/// The one program that is built; beside it only workflows are programs, and all other crates are libraries.
const PROGRAM: &str = "cli";

/// What belongs to programs alone: flags, bars, signals, errors that only a reader understands.
const OF_PROGRAMS: &[&str] = &["anyhow", "clap", "indicatif", "signal-hook"];

/// The libraries that use such things still.
const WITH_A_COMMAND_LINE: &[&str] = &[];

/// Lines of `src` that a crate may have, the tests in it included.
const LONGEST: usize = 3000;

/// The crates that may be longer: each is one subject with many members.
const LONG: &[&str] = &["data", "priors", "quantizer", "torch", "vqvae"];

/// The crates that are longer still.
const TOO_LONG: &[&str] = &[];

/// What a manifest, of a library, names that belongs to programs; its tests may have it.
fn of_programs(manifest: &toml::Table) -> Vec<String> {
    let names = ["dependencies", "build-dependencies"].iter().flat_map(|section| dependencies(manifest, section));
    let found = names.filter(|name| OF_PROGRAMS.contains(&name.as_str()));
    found.map(|name| format!("depends on {name}, which only {PROGRAM} may")).collect()
}

#[test]
fn libraries_know_no_command_line() {
    let libraries = members().into_iter().filter(|member| folder_name(member) != PROGRAM && !is_tool(member));
    let broken: Broken = libraries.map(|member| (folder_name(&member), of_programs(&manifest(&member)))).collect();
    expect_none(&unexempted(&broken, WITH_A_COMMAND_LINE));
}

#[test]
fn no_crate_is_long() {
    let files = sources(&[".rs"]);
    let lines = |member: &Path| -> usize {
        let own = files.iter().filter(|path| path.starts_with(member.join("src")));
        own.map(|path| read(path).lines().count()).sum()
    };
    let may_be_long = |member: &Path| LONG.contains(&folder_name(member).as_str()) || is_tool(member);
    let crates = members().into_iter().filter(|member| !may_be_long(member));
    let broken: Broken = crates.map(|member| (folder_name(&member), too_long(lines(&member)))).collect();
    expect_none(&unexempted(&broken, TOO_LONG));
}

fn too_long(lines: usize) -> Vec<String> {
    let is_too_long = lines > LONGEST;
    is_too_long
        .then(|| format!("has {lines} lines of src, {LONGEST} at most: split it by subject"))
        .into_iter()
        .collect()
}

#[test]
fn a_library_with_a_command_line_is_found() {
    let direct: toml::Table = "dependencies.clap.workspace = true\nbuild-dependencies.anyhow = '1'".parse().unwrap();
    assert_eq!(of_programs(&direct).len(), 2);
    let on_one_system: toml::Table = "[target.'cfg(unix)'.dependencies]\nsignal-hook = '1'".parse().unwrap();
    assert_eq!(of_programs(&on_one_system).len(), 1);
    let in_tests: toml::Table = "dependencies.serde = '1'\ndev-dependencies.anyhow = '1'".parse().unwrap();
    assert!(of_programs(&in_tests).is_empty());
}

#[test]
fn a_long_crate_is_found() {
    assert_eq!(too_long(LONGEST + 1).len(), 1);
    assert!(too_long(LONGEST).is_empty());
}
