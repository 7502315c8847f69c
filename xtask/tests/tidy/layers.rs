//! Which crate may use which.

use std::collections::BTreeMap;

use crate::expect_none;
use crate::manifests::{manifest, members};

/// The layers, lowest first; a crate uses only what stands in its own row here, and that stands in a lower layer.
const LAYERS: &[&[(&str, &[&str])]] = &[
    &[("config", &[])],
    &[("torch", &["config"]), ("data", &["config"])],
    &[("quantizer", &["config", "torch"]), ("losses", &["config", "torch"])],
    &[("metrics", &["config", "torch", "losses"])],
    &[("vqvae", &["config", "torch", "quantizer"]), ("priors", &["config", "torch"])],
    &[("pipeline", &["config", "torch", "data", "quantizer", "losses", "metrics", "vqvae", "priors"])],
];

/// What tests share; any crate's tests may use it, and nothing else may.
const TESTING: &str = "testing";

/// The rows of all layers by crate.
fn rules() -> BTreeMap<&'static str, &'static [&'static str]> {
    LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect()
}

/// What is wrong with `user` depending on the crates `used`.
fn violations(user: &str, used: &[String], for_tests: bool) -> Vec<String> {
    let rules = rules();
    let allowed = |name: &str| {
        let by_rule = rules.get(user).is_some_and(|row| row.contains(&name));
        by_rule || (for_tests && name == TESTING)
    };
    let forbidden = used.iter().filter(|name| !allowed(name));
    forbidden.map(|name| format!("{user} → {name}: not an arrow of LAYERS in xtask/tests/tidy/layers.rs")).collect()
}

/// The crates of this workspace in a manifest's table of dependencies, by the names of their folders.
fn workspace_crates(manifest: &toml::Table, section: &str) -> Vec<String> {
    let names = manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    names.filter_map(|name| name.strip_prefix("vqkit-")).map(str::to_owned).collect()
}

#[test]
fn crates_use_only_what_stands_below_them() {
    let mut found = Vec::new();
    for member in members() {
        let manifest = manifest(&member);
        let user = member.file_name().unwrap_or_default().to_string_lossy();
        for (section, for_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
        {
            found.extend(violations(&user, &workspace_crates(&manifest, section), for_tests));
        }
    }
    expect_none(&found);
}

#[test]
fn every_crate_has_its_place() {
    let known = rules();
    let names = members().into_iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let homeless = names.filter(|name| !known.contains_key(name.as_str()) && name != TESTING && name != "xtask");
    expect_none(&homeless.map(|name| format!("{name}: has no row in LAYERS")).collect::<Vec<_>>());
}

#[test]
fn the_table_itself_points_down() {
    let mut below: Vec<&str> = Vec::new();
    for layer in LAYERS {
        for (user, used) in *layer {
            assert!(used.iter().all(|name| below.contains(name)), "{user} uses what does not stand below it");
        }
        below.extend(layer.iter().map(|(user, _)| user));
    }
}

#[test]
fn an_arrow_that_points_up_or_aside_is_found() {
    let used = |name: &str| vec![name.to_owned()];
    assert_eq!(violations("losses", &used("quantizer"), false).len(), 1);
    assert_eq!(violations("torch", &used("pipeline"), false).len(), 1);
    assert_eq!(violations("priors", &used("data"), true).len(), 1);
    assert_eq!(violations("xtask", &used("pipeline"), false).len(), 1);
    assert_eq!(violations("vqvae", &used("testing"), false).len(), 1);
    assert!(violations("vqvae", &used("testing"), true).is_empty());
    assert!(violations("vqvae", &used("quantizer"), false).is_empty());
}
