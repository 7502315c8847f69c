//! A run is a function of recipe, data and seed.

use std::path::Path;

use crate::vqkit::{SMALL, assert_same, content, recipe, shared_run, succeed, text, train_small};

#[test]
fn the_same_recipe_and_seed_give_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    assert_same(shared_run(), &train_small(folder.path()));
}

#[test]
fn neither_decoding_threads_nor_prefetch_change_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let overrides = ["--set", "data.workers=3", "--set", "data.prefetch=1"];
    succeed(&[&["train", &recipe(folder.path(), SMALL), "--run", text(&run)], &overrides[..]].concat());
    let weights = |run: &Path| content(&run.join("prior/0/last"))["model.safetensors"].clone();
    assert!(weights(&run) == weights(shared_run()));
}

#[test]
fn another_seed_gives_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&["train", &recipe(folder.path(), SMALL), "--run", text(&run), "--set", "seed=8", "--stage", "tokenizer"]);
    let weights = |run: &Path| content(&run.join("tokenizer/last"))["model.safetensors"].clone();
    assert!(weights(&run) != weights(shared_run()));
}
