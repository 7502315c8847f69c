//! Imports between the files of a crate: they form no circle, so that each file can be read without those that use it.

mod fixtures;
mod graph;
mod items;
mod modules;
mod paths;
mod resolve;

use std::path::{Path, PathBuf};

use self::graph::{Graph, Uses};
use self::modules::Sources;
use crate::exemptions::{Broken, unexempted};
use crate::expect_none;
use crate::files::{read, short, sources};
use crate::manifests::{folder_name, members};

/// The crates that have circles still.
const WITH_CIRCLES: &[&str] = &[];

/// The crates in which, besides, modules and their own children still use each other.
const WITH_FAMILY_CIRCLES: &[&str] = &[];

/// The sources of a crate, and those of its files that are roots.
fn crate_of(member: &Path) -> (Sources, Vec<String>) {
    let folder = member.join("src");
    let files = sources(&[".rs"]).into_iter().filter_map(|path| {
        let file = path.strip_prefix(&folder).ok()?.to_string_lossy().into_owned();
        Some((file, read(&path)))
    });
    let files: Sources = files.collect();
    let is_root = |file: &&String| {
        let program = file.strip_prefix("bin/").is_some_and(|file| !file.contains('/') || file.ends_with("/main.rs"));
        program || ["lib.rs", "main.rs"].contains(&file.as_str())
    };
    let roots = files.keys().filter(is_root).cloned().collect();
    (files, roots)
}

/// The graphs of a crate, one for each of its roots.
fn graphs(member: &Path) -> Vec<Graph> {
    let (files, roots) = crate_of(member);
    let read = |root: &String| Graph::read(&files, root).unwrap_or_else(|error| panic!("{}: {error}", short(member)));
    roots.iter().map(read).collect()
}

/// The circles in each crate.
fn circles(uses: Uses) -> Broken {
    let in_crate = |member: &PathBuf| graphs(member).iter().flat_map(|graph| graph.circles(uses)).collect();
    members().iter().map(|member| (folder_name(member), in_crate(member))).collect()
}

#[test]
fn imports_form_no_circle() {
    expect_none(&unexempted(&circles(Uses::AllButOfParents), WITH_CIRCLES));
}

#[test]
fn a_module_and_its_children_form_no_circle() {
    expect_none(&unexempted(&circles(Uses::All), WITH_FAMILY_CIRCLES));
}

#[test]
fn every_path_into_a_crate_leads_somewhere() {
    let found = members().into_iter().flat_map(|member| {
        let unresolved = graphs(&member).into_iter().flat_map(|graph| graph.unresolved).collect::<Vec<_>>();
        unresolved.into_iter().map(move |path| format!("{}: {path}", short(&member)))
    });
    expect_none(&found.collect::<Vec<_>>());
}
