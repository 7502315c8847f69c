//! The examples, run as programs.

use std::{env, path::Path, process::Command};

use crate::trained::run;

/// Runs an example that Cargo has built beside this test, and gives what it prints.
fn example(name: &str, arguments: &[&Path]) -> String {
    let tests = env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let output = Command::new(&program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (said, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {error}");
    said
}

#[test]
fn a_picture_goes_through_a_run_and_through_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let picture = run().join("samples/000000.png");
    let out = folder.path().join("again.png");
    let by_run = example("roundtrip", &[run(), &picture, &out]);
    assert!(by_run.contains("level 0, [1, 1, 6, 6]:"), "{by_run}");
    assert_eq!(image::open(&out).unwrap().to_rgb8().dimensions(), (24, 24));
    let checkpoint = run().join("tokenizer/last/model.safetensors");
    let by_checkpoint = example("roundtrip", &[&checkpoint, &picture, &folder.path().join("once-more.png")]);
    assert!(by_checkpoint.contains("level 0, [1, 1, 6, 6]:"), "{by_checkpoint}");
}

#[test]
fn images_of_a_class_come_with_their_likelihoods() {
    let said = example("generate", &[run(), "circle".as_ref()]);
    assert_eq!(said.lines().count(), 8, "{said}");
    assert!(said.lines().all(|line| line.contains("24 x 24 pixels") && line.contains("nats")), "{said}");
}

#[test]
fn two_folders_are_compared() {
    let samples = run().join("samples");
    let said = example("fid", &[&samples, &samples, "vgg-cifar10".as_ref()]);
    assert!(said.contains("by vgg-cifar10"), "{said}");
}

#[test]
fn loops_of_ones_own_end_in_samples() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("samples.png");
    example("train", &[&run().join("samples"), &out, "4".as_ref()]);
    assert_eq!(image::open(&out).unwrap().to_rgb8().dimensions(), (4 * 34 + 2, 4 * 34 + 2));
}
