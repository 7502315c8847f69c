//! Crates of a few lines, and what their graphs must be.

use super::graph::{Graph, Uses};
use super::modules::Sources;

fn graph(files: &[(&str, &str)]) -> Graph {
    let sources: Sources = files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
    Graph::read(&sources, "lib.rs").unwrap_or_else(|error| panic!("{error}"))
}

/// A crate of the files `a` and `b`, of which `b` has `Bar` and uses what `a` has.
fn pair(a: &str) -> Graph {
    let b = "use crate::a::Foo;\npub struct Bar;\npub mod inner {\n    pub fn make() {}\n}\n";
    graph(&[("lib.rs", "mod a;\nmod b;\n"), ("a.rs", &format!("pub struct Foo;\n{a}")), ("b.rs", b)])
}

#[track_caller]
fn assert_circle(graph: &Graph, files: &str) {
    let circles = graph.circles(Uses::AllButOfParents);
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(circles[0].contains(files), "{}", circles[0]);
}

#[test]
fn a_crate_whose_files_use_one_another_one_way_has_no_circle() {
    assert_eq!(pair("").used_by("b.rs"), ["a.rs"]);
    assert!(pair("").circles(Uses::All).is_empty());
    assert!(pair("use std::fmt;\npub fn f() -> fmt::Result { Ok(()) }").circles(Uses::All).is_empty());
}

#[test]
fn every_form_of_use_is_seen() {
    let forms = [
        "use crate::b::Bar;",
        "use super::b::Bar as Other;",
        "use crate::{b::{self, Bar}};",
        "use crate::b::*;\nfn f(_: Bar) {}",
        "use crate::b::inner;\nfn f() { inner::make() }",
        "use crate::b as other;\nfn f() { other::inner::make() }",
        "fn f() { use super::b::Bar; }",
        "mod nested {\n    use super::super::b::Bar;\n}",
    ];
    for form in forms {
        assert_circle(&pair(form), "a circle of 2 files: a.rs, b.rs\n    a.rs:");
    }
}

#[test]
fn every_form_of_an_inline_path_is_seen() {
    let forms = [
        "struct Holder { bar: Option<crate::b::Bar> }",
        "fn f() { super::b::inner::make() }",
        "impl From<crate::b::Bar> for Foo {}",
        "fn f() { println!(\"{:?}\", crate::b::inner::make()) }",
        "macro_rules! bar { () => { $crate::b::Bar } }",
        "#[derive(Deserialize)]\nstruct Holder { #[serde(default = \"crate::b::inner::make\")] bar: u8 }",
    ];
    for form in forms {
        assert_circle(&pair(form), "a.rs:");
    }
}

#[test]
fn a_message_names_each_use_and_its_line() {
    let circle = pair("\nuse crate::b::Bar;").circles(Uses::All).remove(0);
    assert!(circle.contains("\n    a.rs:3 uses b.rs by `crate::b::Bar`"), "{circle}");
    assert!(circle.contains("\n    b.rs:1 uses a.rs by `crate::a::Foo`"), "{circle}");
}

#[test]
fn re_exports_lead_to_where_the_item_is_defined() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use b::Deep as Shallow;"),
        ("a.rs", "use crate::Shallow;\npub struct Foo;"),
        ("b/mod.rs", "mod deep;\npub use self::deep::*;\npub fn of_b() {}"),
        ("b/deep.rs", "pub struct Deep;\nuse crate::a::Foo;"),
    ];
    assert_eq!(graph(&files).used_by("a.rs"), ["b/deep.rs"]);
    assert_eq!(graph(&files).used_by("b/mod.rs"), [""; 0]);
    assert_circle(&graph(&files), "a.rs, b/deep.rs");
}

#[test]
fn a_re_export_counts_where_its_module_uses_the_name_itself() {
    let files = |code| {
        [("lib.rs", "mod a;"), ("a/mod.rs", code), ("a/b.rs", "pub struct Bar;\nuse super::Foo;"), ("a/c.rs", "")]
    };
    let only_exports = graph(&files("mod b;\npub use b::Bar;\npub struct Foo;"));
    assert!(only_exports.circles(Uses::All).is_empty());
    let uses_it = graph(&files("mod b;\npub use b::Bar;\npub struct Foo { bar: Bar }"));
    assert_eq!(uses_it.circles(Uses::All).len(), 1);
    assert!(uses_it.circles(Uses::AllButOfParents).is_empty());
}

#[test]
fn a_circle_may_be_long() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;"),
        ("a.rs", "use crate::b::B;\npub struct A;"),
        ("b.rs", "use crate::c::C;\npub struct B;"),
        ("c.rs", "use crate::{a::A, d::D};\npub struct C;"),
        ("d.rs", "pub struct D;"),
    ];
    assert_circle(&graph(&files), "a circle of 3 files: a.rs, b.rs, c.rs\n");
}

#[test]
fn what_macros_define_is_found() {
    let files = [
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "registry! { pub enum Kind { One(crate::b::One) } }"),
        ("b.rs", "use crate::a::Kind;\npub struct One;"),
    ];
    assert_circle(&graph(&files), "a.rs, b.rs");
}

#[test]
fn tests_and_visibility_are_no_uses() {
    let forms = [
        "#[cfg(test)]\nuse crate::b::Bar;",
        "#[cfg(all(test, unix))]\nfn f() -> crate::b::Bar { crate::b::Bar }",
        "#[cfg(test)]\nmod nested {\n    use crate::b::Bar;\n}",
        "mod tests;",
        "impl Foo {\n    #[cfg(test)]\n    fn f() { crate::b::inner::make() }\n}",
        "pub(in crate::b) struct Seen;",
    ];
    for form in forms {
        assert!(pair(form).circles(Uses::All).is_empty(), "{form}");
    }
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    let graph = pair("use crate::b::Missing;\nuse crate::b::inner::make;");
    assert_eq!(graph.unresolved, ["a.rs:2: `crate::b::Missing` leads nowhere"]);
}

#[test]
fn a_module_without_its_file_is_found() {
    let sources = [("lib.rs".to_owned(), "mod a;".to_owned())].into();
    assert!(Graph::read(&sources, "lib.rs").unwrap_err().contains("a.rs: there is no such file"));
}
