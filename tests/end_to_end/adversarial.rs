//! A tokenizer that is trained against a discriminator: cut off in the middle of adversarial training, and gone wild.

use std::{fs, path::Path};

use crate::{
    processes::{interrupt, kill, start, wait_for},
    vqkit::{ADVERSARIAL, assert_same, content, fail, recipe, shared_adversarial, succeed, text, train, weights},
};

const TOKENIZER: [&str; 2] = ["--stage", "tokenizer"];

fn resume(recipe: &str, run: &Path) {
    succeed(&[&["train", recipe, "--run", text(run), "--resume"], &TOKENIZER[..]].concat());
}

#[test]
fn both_players_are_in_a_checkpoint_and_the_game_in_the_log() {
    let run = shared_adversarial();
    let files: Vec<String> = content(&run.join("tokenizer/last")).into_keys().collect();
    let both = ["discriminator-optimizer", "discriminator", "ema", "model", "optimizer"]
        .map(|name| format!("{name}.safetensors"));
    assert_eq!(files, both.into_iter().chain(["state.json".into()]).collect::<Vec<_>>());
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let steps_of = |key: &str| -> Vec<u64> {
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line[key].is_f64()).map(|line| line["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps_of("perceptual"), [4, 8, 12, 16, 20, 24]);
    for key in ["generator", "adaptive_weight", "discriminator", "real_accuracy", "discriminator_gradient_norm"] {
        assert_eq!(steps_of(key), [16, 20, 24], "{key}");
    }
    let first = weights(&run.join("tokenizer/last/discriminator.safetensors"));
    assert!(first["lecam.ema_real"].double_value(&[]) != 0.0);
    assert_eq!(first["main.3.num_batches_tracked"].int64_value(&[]), 12 * 2 * 2 + 3 * 2, "fake, real, and R1's real");
}

#[test]
fn killed_in_the_middle_of_the_game_it_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), ADVERSARIAL), folder.path().join("run"));
    for moment in ["checkpoint-0000008", "checkpoint-0000012", "checkpoint-0000016"] {
        let mut child = start(&recipe, &run, &TOKENIZER);
        wait_for(&run.join("tokenizer").join(moment), &mut child);
        kill(child);
    }
    assert!(!run.join("tokenizer/checkpoint-0000024").exists(), "it was killed in the middle");
    resume(&recipe, &run);
    assert_same(shared_adversarial(), &run);
}

#[test]
fn interrupted_in_the_middle_of_the_game_it_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), ADVERSARIAL), folder.path().join("run"));
    let mut child = start(&recipe, &run, &TOKENIZER);
    wait_for(&run.join("tokenizer/checkpoint-0000016"), &mut child);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    resume(&recipe, &run);
    for part in ["tokenizer/last", "tokenizer/best"] {
        let there = shared_adversarial().join(part);
        assert_eq!(there.exists(), run.join(part).exists());
        if there.exists() {
            assert_same(&there, &run.join(part));
        }
    }
    let log = |run: &Path| content(run)["log.jsonl"].clone();
    assert!(log(&run) == log(shared_adversarial()));
}

#[test]
fn actnorm_remembers_that_it_was_set() {
    let norm = ["--set", "tokenizer.loss.adversarial.discriminator.norm=actnorm", "--set", "tokenizer.train.steps=16"];
    let arguments = [&TOKENIZER[..], &norm].concat();
    let (alone, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let alone = train(alone.path(), ADVERSARIAL, &arguments);
    let last = |run: &Path| content(&run.join("tokenizer/last"));
    let (recipe, run) = (recipe(cut.path(), ADVERSARIAL), cut.path().join("run"));
    let every_step = [&arguments[..], &["--set", "tokenizer.train.checkpoint_every=1"]].concat();
    let mut child = start(&recipe, &run, &every_step);
    wait_for(&run.join("tokenizer/checkpoint-0000013"), &mut child);
    kill(child);
    succeed(&[&["train", &recipe, "--run", text(&run), "--resume"], &every_step[..]].concat());
    assert!(last(&run) == last(&alone));
    assert_eq!(
        weights(&alone.join("tokenizer/last/discriminator.safetensors"))["main.3.initialized"].int64_value(&[]),
        1
    );
}

/// Expects training to stop with one message that names all of these; gives the run.
fn stops(folder: &Path, overrides: &[&str], named: &[&str]) -> std::path::PathBuf {
    let run = folder.join("run");
    let set = overrides.iter().flat_map(|assignment| ["--set", assignment]).collect::<Vec<_>>();
    let recipe = recipe(folder, ADVERSARIAL);
    let message = fail(&[&["train", &recipe, "--run", text(&run)], &TOKENIZER[..], &set].concat(), &[1]);
    for name in named {
        assert!(message.contains(name), "{overrides:?} should name {name}: {message}");
    }
    run
}

#[test]
fn a_discriminator_gone_wild_is_reported_and_the_last_checkpoint_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let wild = ["tokenizer.loss.adversarial.train.learning_rate=1e30"];
    let run = stops(folder.path(), &wild, &["tokenizer, step 14", "the loss `", "learning_rate"]);
    let state = fs::read_to_string(run.join("tokenizer/last/state.json")).unwrap();
    assert!(state.contains("\"step\": 12"), "{state}");
    let same = content(&shared_adversarial().join("tokenizer"));
    assert!(same.contains_key("checkpoint-0000020/model.safetensors"));
    for file in ["model", "ema", "optimizer", "discriminator", "discriminator-optimizer"] {
        let tensors = weights(&run.join(format!("tokenizer/last/{file}.safetensors")));
        assert!(tensors.values().all(|tensor| tensor.isfinite().all().int64_value(&[]) == 1), "{file}");
    }
    assert!(succeed(&["inspect", text(&run.join("tokenizer/last"))]).contains("numbers"));
    let on = folder.path().join("on");
    let from = format!("tokenizer.finetune.from={}", text(&run.join("tokenizer/last")));
    let recipe = recipe(folder.path(), ADVERSARIAL);
    let few =
        ["--set", &from, "--set", "tokenizer.finetune.discriminator=restored", "--set", "tokenizer.train.steps=2"];
    succeed(&[&["train", &recipe, "--run", text(&on)], &TOKENIZER[..], &few].concat());
}

#[test]
fn a_gradient_and_a_weight_that_are_not_finite_are_named_with_their_step() {
    let folder = tempfile::tempdir().unwrap();
    let steep = ["tokenizer.loss.reconstruction_weight=1e39"];
    let run = stops(folder.path(), &steep, &["tokenizer, step 1:", "the gradient of `"]);
    assert!(!run.join("tokenizer/last").exists());
    let folder = tempfile::tempdir().unwrap();
    let far = ["tokenizer.train.learning_rate=1e39", "tokenizer.train.checkpoint_every=1"];
    let run = stops(folder.path(), &far, &["tokenizer, step 1:", "the weight `"]);
    assert!(!run.join("tokenizer/last").exists());
}
