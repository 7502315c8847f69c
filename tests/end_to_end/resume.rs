//! A run that is killed or interrupted ends as one that was left alone.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    processes::{interrupt, kill, start, wait_for},
    vqkit::{SMALL, assert_same, fail, recipe, run as call, shared_run, stderr, succeed, text},
};

/// Checkpoints whose appearance the killer waits for: in the first stage, at its end, and in the prior's.
fn moments(run: &Path) -> Vec<PathBuf> {
    ["tokenizer/checkpoint-0000005", "tokenizer/checkpoint-0000030", "prior/0", "prior/0/checkpoint-0000010"]
        .map(|name| run.join(name))
        .to_vec()
}

#[test]
fn killed_again_and_again_it_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    for (index, moment) in moments(&run).into_iter().enumerate() {
        let mut child = start(&recipe, &run, &[]);
        wait_for(&moment, &mut child);
        thread::sleep(Duration::from_millis(7 * index as u64));
        kill(child);
    }
    succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    assert_same(shared_run(), &run);
}

#[test]
fn interrupted_it_writes_a_checkpoint_and_leaves_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let long = ["--set", "tokenizer.train.steps=100000", "--set", "tokenizer.train.checkpoint_every=100000"];
    let mut child = start(&recipe, &run, &long);
    wait_for(&run.join("tokenizer/checkpoint-0000020"), &mut child);
    interrupt(&child);
    let output = child.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    let state = std::fs::read_to_string(run.join("tokenizer/last/state.json")).unwrap();
    assert!(state.contains("\"step\""), "{state}");
}

#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let mut child = start(&recipe, &run, &[]);
    wait_for(&run.join("tokenizer/checkpoint-0000010"), &mut child);
    interrupt(&child);
    child.wait().expect("a child");
    succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    let weights = |run: &Path| std::fs::read(run.join("prior/0/last/model.safetensors")).unwrap();
    assert!(weights(&run) == weights(shared_run()));
}

#[test]
fn a_run_is_neither_overwritten_nor_continued_with_another_recipe() {
    let recipe_folder = tempfile::tempdir().unwrap();
    let recipe = recipe(recipe_folder.path(), SMALL);
    let run = text(shared_run());
    assert!(fail(&["train", &recipe, "--run", run], &[2]).contains("--resume"));
    let message = fail(&["train", &recipe, "--run", run, "--resume", "--set", "seed=1"], &[2]);
    assert!(message.contains("seed: the run was begun with 7, this recipe has 1"), "{message}");
    let again = call(&["train", &recipe, "--run", run, "--resume"]);
    assert!(again.status.success() && stderr(&again).contains("already done"), "{}", stderr(&again));
}

#[test]
fn what_changes_nothing_that_was_computed_may_change_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let call_with = |more: &[&str]| call(&[&["train", &recipe, "--run", text(&run)], more].concat());
    assert!(call_with(&["--stage", "tokenizer"]).status.success());
    let changes = ["--resume", "--set", "data.workers=2", "--set", "sample.count=4", "--set", "tokenizer.train.keep=3"];
    let resumed = call_with(&[&changes[..], &["--set", "prior.0.train.steps=44"]].concat());
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let kept = std::fs::read_to_string(run.join("recipe.toml")).unwrap();
    for line in ["workers = 2", "count = 4", "keep = 3", "steps = 44"] {
        assert!(kept.lines().any(|found| found == line), "{line}: {kept}");
    }
    let as_before = ["--resume", "--set", "prior.0.train.steps=44"];
    let longer = call_with(&[&as_before[..], &["--set", "tokenizer.train.steps=1000"]].concat());
    assert_eq!(longer.status.code(), Some(2));
    assert!(stderr(&longer).contains("tokenizer.train.steps: changes from"), "{}", stderr(&longer));
}

#[test]
fn a_second_trainer_is_refused_while_the_first_works() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let long = ["--set", "tokenizer.train.steps=100000"];
    let mut child = start(&recipe, &run, &long);
    wait_for(&run.join("tokenizer/checkpoint-0000005"), &mut child);
    let message = fail(&[&["train", &recipe, "--run", text(&run), "--resume"], &long[..]].concat(), &[1]);
    kill(child);
    assert!(message.contains("another process"), "{message}");
}

#[test]
fn a_loss_that_is_not_finite_is_named_with_its_step_and_terms() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let wild = ["--set", "tokenizer.train.learning_rate=1e30"];
    let message = fail(&[&["train", &recipe, "--run", text(&run)], &wild[..]].concat(), &[1]);
    for named in ["tokenizer, step", "reconstruction", "learning_rate"] {
        assert!(message.contains(named), "{message}");
    }
}
