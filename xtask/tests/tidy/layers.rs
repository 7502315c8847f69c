//! Which crate may use which.

use std::collections::BTreeMap;

use crate::expect_none;
use crate::manifests::{dependencies, folder_name, is_tool, manifest, members};

/// The libraries that know neither recipes nor runs.
const LOWER: &[&str] =
    &["config", "data", "kernels", "losses", "metrics", "priors", "quantizer", "torch", "torch-file", "vqvae"];

/// The way from a recipe to trained networks.
const NETWORKS: &[&str] = &["recipe", "run", "pretrained", "models"];

/// A crate, and the groups of crates that it may use.
type Row = (&'static str, &'static [&'static [&'static str]]);

/// The layers, lowest first; a crate uses only what stands in its own row here, and that stands in a lower layer.
/// A crate need not exist to have a row.
const LAYERS: &[&[Row]] = &[
    &[("config", &[]), ("torch-file", &[])],
    &[("torch", &[&["config", "torch-file"]]), ("data", &[&["config"]])],
    &[("kernels", &[&["torch"]]), ("quantizer", &[&["config", "torch"]]), ("losses", &[&["config", "torch"]])],
    &[("metrics", &[&["config", "torch", "losses"]])],
    &[("vqvae", &[&["config", "torch", "kernels", "quantizer"]]), ("priors", &[&["config", "torch", "kernels"]])],
    &[("foreign", &[&["torch", "torch-file", "vqvae"]]), ("graph", &[&["config", "torch", "quantizer", "vqvae"]])],
    &[("recipe", &[&["config", "data", "losses", "priors", "quantizer", "torch", "vqvae"]])],
    &[("run", &[&["config", "data", "recipe", "torch"]])],
    &[("pretrained", &[&["recipe", "run"]]), ("guard", &[&["recipe", "run", "torch"]])],
    &[("models", &[LOWER, &["recipe", "run", "pretrained"]])],
    &[("tokens", &[LOWER, NETWORKS])],
    &[("interop", &[LOWER, NETWORKS, &["foreign", "graph", "tokens"]])],
    &[("fidelity", &[LOWER, NETWORKS, &["tokens"]])],
    &[
        ("train", &[LOWER, NETWORKS, &["guard", "tokens", "foreign", "interop", "fidelity"]]),
        ("sample", &[LOWER, NETWORKS, &["tokens"]]),
    ],
    &[("evaluate", &[LOWER, NETWORKS, &["tokens", "fidelity", "sample"]])],
    &[("report", &[&["recipe", "run", "fidelity", "evaluate"]])],
    &[(
        "pipeline",
        &[
            LOWER,
            NETWORKS,
            &["foreign", "graph", "guard", "tokens", "interop", "fidelity", "train", "sample", "evaluate", "report"],
        ],
    )],
    &[(
        "vqkit",
        &[
            LOWER,
            NETWORKS,
            &["foreign", "graph", "guard", "tokens", "interop", "fidelity", "train", "sample", "evaluate", "report"],
            &["pipeline"],
        ],
    )],
    &[("cli", &[&["pipeline", "vqkit"]])],
];

/// The one library whose name has no part behind `vqkit`.
const FACADE: &str = "vqkit";

/// What tests share; any crate's tests may use it, and nothing else may.
const TESTING: &str = "testing";

/// The program, whose tests look with any crate at what it wrote.
const PROGRAM: &str = "cli";

/// What each crate may use.
fn rules() -> BTreeMap<&'static str, Vec<&'static str>> {
    LAYERS.iter().flat_map(|layer| layer.iter()).map(|(user, used)| (*user, used.concat())).collect()
}

/// What is wrong with `user` depending on the crates `used`.
fn violations(user: &str, used: &[String], for_tests: bool) -> Vec<String> {
    let rules = rules();
    let allowed = |name: &str| {
        let by_rule = rules.get(user).is_some_and(|used| used.contains(&name));
        by_rule || (for_tests && (name == TESTING || user == PROGRAM))
    };
    let forbidden = used.iter().filter(|name| !allowed(name));
    forbidden.map(|name| format!("{user} → {name}: not an arrow of LAYERS in xtask/tests/tidy/layers.rs")).collect()
}

/// The crates of this workspace in a manifest's table of dependencies, by the names of their folders.
fn workspace_crates(manifest: &toml::Table, section: &str) -> Vec<String> {
    let of_workspace = |name: String| match name.strip_prefix("vqkit-") {
        Some(folder) => Some(folder.to_owned()),
        None => (name == FACADE).then_some(name),
    };
    dependencies(manifest, section).into_iter().filter_map(of_workspace).collect()
}

#[test]
fn crates_use_only_what_stands_below_them() {
    let mut found = Vec::new();
    for member in members() {
        let manifest = manifest(&member);
        let user = folder_name(&member);
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
    let names = members().into_iter().filter(|member| !is_tool(member)).map(|member| folder_name(&member));
    let homeless = names.filter(|name| !known.contains_key(name.as_str()) && name != TESTING);
    expect_none(&homeless.map(|name| format!("{name}: has no row in LAYERS")).collect::<Vec<_>>());
}

#[test]
fn the_table_itself_points_down() {
    let mut below: Vec<&str> = Vec::new();
    for layer in LAYERS {
        for (user, used) in *layer {
            assert!(used.concat().iter().all(|name| below.contains(name)), "{user} uses what does not stand below it");
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
    assert_eq!(violations("sample", &used("train"), false).len(), 1);
    assert_eq!(violations("models", &used("vqkit"), false).len(), 1);
    assert_eq!(violations("xtask", &used("pipeline"), false).len(), 1);
    assert_eq!(violations("vqvae", &used("testing"), false).len(), 1);
    assert_eq!(violations("cli", &used("data"), false).len(), 1);
    assert!(violations("cli", &used("data"), true).is_empty());
    assert!(violations("vqvae", &used("testing"), true).is_empty());
    assert!(violations("vqvae", &used("quantizer"), false).is_empty());
}

#[test]
fn crates_of_the_workspace_are_known_by_their_names() {
    let manifest = "dependencies.vqkit-torch = '1'\ndependencies.vqkit = '1'\ndependencies.tch = '1'".parse().unwrap();
    assert_eq!(workspace_crates(&manifest, "dependencies"), ["torch", "vqkit"]);
}
