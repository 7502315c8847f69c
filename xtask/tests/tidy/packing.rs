//! Crates as a registry gets them: alone, without the files of the workspace around them.

use std::path::{Component, Path};

use crate::expect_none;
use crate::files::{read, sources};
use crate::manifests::{is_tool, members};

/// What puts another file into a source file.
const INCLUSIONS: [&str; 2] = ["include_bytes!(\"", "include_str!(\""];

/// The files that a source file includes, as it names them.
fn included(text: &str) -> impl Iterator<Item = &str> {
    let ends = INCLUSIONS.into_iter().flat_map(|start| text.split(start).skip(1));
    ends.filter_map(|rest| rest.split('"').next())
}

/// Whether `name`, seen from the folder of `file`, lies outside of `member`.
fn leaves(file: &Path, member: &Path, name: &str) -> bool {
    let inside = file.parent().and_then(|folder| folder.strip_prefix(member).ok());
    let mut depth = inside.map_or(0, |inside| inside.components().count() as i64);
    Path::new(name).components().any(|component| {
        depth += if component == Component::ParentDir { -1 } else { 1 };
        depth < 0
    })
}

#[test]
fn no_crate_includes_a_file_from_outside() {
    let files = sources(&[".rs"]);
    let mut broken = Vec::new();
    for member in members().iter().filter(|member| !is_tool(member)) {
        for file in files.iter().filter(|path| path.starts_with(member.join("src"))) {
            let text = read(file);
            let outside = included(&text).filter(|name| leaves(file, member, name));
            broken.extend(outside.map(|name| format!("{} includes {name}, which a package lacks", file.display())));
        }
    }
    expect_none(&broken);
}

#[test]
fn a_file_outside_is_found() {
    let (member, file) = (Path::new("crates/a"), Path::new("crates/a/src/b/c.rs"));
    let text = "include_str!(\"../style.css\") include_bytes!(\"../../../../assets/x\")";
    let outside: Vec<_> = included(text).filter(|name| leaves(file, member, name)).collect();
    assert_eq!(outside, ["../../../../assets/x"]);
}
