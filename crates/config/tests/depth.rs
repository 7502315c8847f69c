//! Recipes nested without end are refused; no reader runs out of stack.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::thread;

use proptest::prelude::*;
use serde::Deserialize;
use vqkit_config::{ConfigError, Document};

/// Of the thread that reads, in bytes: so little that a reader with a frame for every level shows.
const STACK: usize = 256 << 10;

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only whether it can be read matters")]
struct Deep {
    a: Option<Box<Deep>>,
}

/// Goes all ways that a recipe goes, on a small stack.
fn read(text: String, overrides: Vec<String>) -> Result<(), String> {
    let read = move || -> Result<(), ConfigError> {
        let mut document = Document::parse("r.toml", &text)?;
        for assignment in &overrides {
            document.set(assignment)?;
        }
        let section = document.into_section();
        let _ = section.error_at(&"a.".repeat(100_000), "nowhere");
        section.read::<Deep>().map(drop)
    };
    let work = move || read().map_err(|error| error.to_string());
    thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
}

/// Every way to nest, `depth` deep: what it is called, the text, and an override.
fn nested(depth: usize) -> Vec<(&'static str, String, Vec<String>)> {
    let keys = vec!["a"; depth].join(".");
    let array = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let inline = format!("{}1{}", "{a=".repeat(depth), "}".repeat(depth));
    let some = vec!["a"; depth.min(70)].join(".");
    let both = format!("{}1{}", format!("{{{some}=").repeat(depth.min(70)), "}".repeat(depth.min(70)));
    vec![
        ("a dotted key", format!("\n{keys} = 1\n"), vec![]),
        ("a header", format!("\n[{keys}]\n"), vec![]),
        ("a header of an array", format!("\n[[{keys}]]\n"), vec![]),
        ("an array", format!("\na = {array}\n"), vec![]),
        ("an array left open", format!("\na = {}", "[".repeat(depth)), vec![]),
        ("an inline table", format!("\na = {inline}\n"), vec![]),
        ("inline tables of dotted keys", format!("\na = {both}\n"), vec![]),
        ("a header above a dotted key", format!("[a.a.a.a]\n{some} = {both}\n"), vec![]),
        ("a key of an override", String::new(), vec![format!("{keys}=1")]),
        ("an array of an override", String::new(), vec![format!("a={array}")]),
        ("a table of an override", String::new(), vec![format!("a={inline}")]),
        ("tables of dotted keys of an override", String::new(), vec![format!("{some}={both}")]),
        ("overrides inside each other", String::new(), vec![format!("{some}={{}}"), format!("{some}.{some}={{}}")]),
    ]
}

#[test]
fn what_is_too_deep_is_refused_with_its_line() {
    for depth in [33, 79, 80, 1000, 100_000] {
        for (what, text, overrides) in nested(depth) {
            let place = if overrides.is_empty() { "r.toml:2: " } else { "--set a" };
            let error = read(text, overrides).expect_err(what);
            let is_about_arrays = what.contains("left open") && error.contains("unclosed");
            assert!(error.contains("more than 32 deep") || is_about_arrays, "{what}, {depth}: {error:.300}");
            assert!(error.starts_with(place) && error.len() < 400, "{what}, {depth}: {error:.300}");
        }
    }
}

#[test]
fn what_is_not_too_deep_is_read() {
    assert_eq!(read("[a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a]\n".into(), vec![]), Ok(()));
    assert_eq!(read(String::new(), vec!["a.a.a.a={a={a.a={}}}".into(), "a.a.a.a.a.a.a.a={}".into()]), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_depth_is_answered(exponent in 1.0..5.0f64) {
        let depth = 10f64.powf(exponent) as usize;
        for (_, text, overrides) in nested(depth) {
            let _ = read(text, overrides);
        }
    }
}
