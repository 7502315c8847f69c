//! Training that goes wrong: each fault gets its verdict, healthy training none, and a step back goes on from a sound checkpoint.

use std::fs;

use crate::vqkit::{ADVERSARIAL, SMALL, recipe, run, stderr, text};

const STOP: [&str; 2] = ["tokenizer.train.guard.on_fault=stop", "prior.0.train.guard.on_fault=stop"];

/// Trains `of` with the overrides and expects the fault of this name.
fn verdict(of: &str, overrides: &[&str], fault: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), of);
    let of_prior = |key: &&&str| of == SMALL || !key.starts_with("prior");
    let set: Vec<&str> = STOP.iter().chain(overrides).filter(of_prior).flat_map(|key| ["--set", key]).collect();
    let output = run(&[&["train", &path, "--run", text(&folder.path().join("run"))], &set[..]].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.contains(fault), "{fault}: {error}");
}

/// Steps, log entries and validations that are close enough together to show a fault soon.
const CLOSE: [&str; 3] =
    ["tokenizer.train.log_every=5", "tokenizer.train.validate_every=20", "tokenizer.train.checkpoint_every=20"];

#[test]
fn a_loss_that_is_not_finite() {
    verdict(SMALL, &["tokenizer.train.learning_rate=1e30"], "is not finite");
}

#[test]
fn a_prior_whose_weights_are_not_finite() {
    verdict(SMALL, &["prior.0.train.learning_rate=1e30", "prior.0.train.clip_norm=0.0"], "is not finite");
}

/// A rate that rises until the loss does. The codebook collapses on the way, which is not what is looked for.
const RISING: [&str; 6] = [
    "tokenizer.train.schedule={type=\"warmup-cosine\",warmup_steps=60,start=1.0,peak=2000.0}",
    "tokenizer.train.steps=61",
    "tokenizer.loss.adversarial.start_step=100",
    "tokenizer.train.guard.min_usage=0.0",
    "tokenizer.train.log_every=2",
    "tokenizer.train.validate_every=61",
];

#[test]
fn a_loss_that_explodes() {
    verdict(ADVERSARIAL, &RISING, "loss-explodes");
}

#[test]
fn an_adaptive_weight_that_runs_away() {
    let keys = ["tokenizer.loss.adversarial.max_adaptive_weight=1e-3", "tokenizer.train.log_every=1"];
    verdict(ADVERSARIAL, &keys, "adaptive-weight");
}

/// Enough steps of a discriminator for its running accuracies.
const LONG: [&str; 5] = [
    "tokenizer.train.steps=400",
    "tokenizer.train.validate_every=40",
    "tokenizer.train.checkpoint_every=100",
    "tokenizer.loss.adversarial.start_step=0",
    "tokenizer.loss.adversarial.lecam_weight=0.0",
];

#[test]
fn a_discriminator_that_always_wins() {
    let keys = [
        "tokenizer.train.learning_rate=1e-9",
        "tokenizer.loss.adversarial.train.learning_rate=3e-3",
        "tokenizer.loss.adversarial.r1_weight=0.0",
        "tokenizer.loss.perceptual.weight=0.0",
    ];
    verdict(ADVERSARIAL, &[&keys[..], &LONG[..]].concat(), "discriminator-wins");
}

#[test]
fn a_discriminator_that_only_guesses() {
    let keys = ["tokenizer.loss.adversarial.train.learning_rate=1e-12", "tokenizer.train.learning_rate=1e-9"];
    verdict(ADVERSARIAL, &[&keys[..], &LONG[..]].concat(), "discriminator-guesses");
}

#[test]
fn a_codebook_that_collapses() {
    let keys = [
        "tokenizer.quantizer={type=\"ema\",codebook_size=2048,kmeans_init=false,revive_after=0}",
        "tokenizer.train.steps=100",
    ];
    verdict(SMALL, &[&keys[..], &CLOSE[..]].concat(), "codebook-collapses");
}

#[test]
fn validation_that_gets_worse() {
    let keys = [
        "data.source.count=16",
        "prior.0.train.steps=400",
        "prior.0.train.learning_rate=2e-2",
        "prior.0.train.weight_decay=0.0",
        "prior.0.train.validate_every=20",
        "prior.0.train.checkpoint_every=400",
    ];
    verdict(SMALL, &keys, "validation-diverges");
}

#[test]
fn healthy_training_gets_no_verdict() {
    for (of, seeds) in [(SMALL, 0..5), (ADVERSARIAL, 5..10)] {
        for seed in seeds {
            let folder = tempfile::tempdir().unwrap();
            let path = recipe(folder.path(), of);
            let seed = format!("seed={seed}");
            let keys = ["tokenizer.train.guard.on_fault=stop", "tokenizer.train.log_every=2", &seed];
            let set: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
            let to = folder.path().join("run");
            let output = run(&[&["train", &path, "--run", text(&to), "--stage", "tokenizer"], &set[..]].concat());
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_step_back_goes_on_more_slowly_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), ADVERSARIAL);
    let keys = ["tokenizer.train.guard.on_fault=step-back", "tokenizer.train.guard.rate_factor=1e-4"];
    let set: Vec<&str> = keys.iter().chain(&RISING).flat_map(|key| ["--set", key]).collect();
    let to = folder.path().join("run");
    let output = run(&[&["train", &path, "--run", text(&to), "--stage", "tokenizer"], &set[..]].concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("back to step") && said.contains("loss-explodes"), "{said}");
    let state = fs::read(to.join("tokenizer/last/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!((&state["step"], &state["step_backs"]), (&61.into(), &1.into()), "{state}");
    let log = fs::read_to_string(to.join("log.jsonl")).unwrap();
    let steps: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|entry| entry["reconstruction"].is_number())
        .map(|entry| entry["step"].as_u64().unwrap())
        .collect();
    assert!(steps.is_sorted_by(|one, next| one < next), "what came after the checkpoint is cut off: {steps:?}");
}

#[test]
fn a_fault_that_comes_again_and_again_ends_training() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), SMALL);
    let keys = [
        "tokenizer.train.guard={on_fault=\"step-back\",rate_factor=1.0,max_step_backs=2}",
        "tokenizer.train.learning_rate=1e30",
        "tokenizer.train.checkpoint_every=1",
    ];
    let set: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
    let to = folder.path().join("run");
    let output = run(&[&["train", &path, "--run", text(&to), "--stage", "tokenizer"], &set[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}
