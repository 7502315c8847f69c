//! Counts without limit, numbers at the end of their range, weights that are not finite, too little memory: one sentence, and code 1 or 2.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tch::{IndexOp, Kind};
use vqkit_torch::weights;

use crate::vqkit::{SMALL, fail, recipe, run, shared_run, stderr, text};

/// CollapseSymptoms of a panic, and of what libtorch says to those who work on it.
const INSIDES: [&str; 6] =
    ["panicked", "bug in vqkit", "Exception raised from", "frame #", "stack backtrace", "RUST_BACKTRACE"];

#[test]
fn counts_and_numbers_at_the_end_of_their_range_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, out) = (text(shared_run()), folder.path().join("out"));
    for flags in [
        "-n 18446744073709551615",
        "-n 100000000000",
        "-n 4 --batch-size 18446744073709551615",
        "-n 100000000 --batch-size 100000000",
        "-n 4 --samples-per-condition 18446744073709551615",
        "-n 1 --size 60000x60000",
        "-n 1 --size 4294967295x4294967295",
        "-n 1 --temperature 1e-300",
        "-n 1 --temperature 1e300",
        "-n 1 --temperature nan",
        "-n 1 --cfg 1e308",
        "-n 1 --cfg -1e308",
        "-n 1 --top-k 9223372036854775807",
        "-n 1 --top-p 1e-300",
        "-n 1 --min-p 1",
        "-n 1 --best-of 9223372036854775807",
        "-n 1 --no-repeat-ngram 9223372036854775807",
        "-n 1 --seed 18446744073709551615",
        "-n 1 --threads 100000",
        "-n 1 --threads 2147483647",
    ] {
        let words: Vec<&str> = flags.split(' ').collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vqkit"));
        command.args(["--device", "cpu", "sample", run_folder, "-o", text(&out)]).args(&words);
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert!(matches!(output.status.code(), Some(0..=2)), "{flags}: {}\n{said}", output.status);
        assert!(INSIDES.iter().all(|sign| !said.contains(sign)), "{flags}: {said}");
        match output.status.success() {
            true => fs::remove_dir_all(&out).unwrap(),
            false => assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{flags}: {said}"),
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flags}");
    }
}

#[test]
fn what_would_not_fit_is_said_with_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let message = fail(&["sample", text(shared_run()), "-n", "100000000000", "-o", text(&out)], &[2]);
    assert!(message.contains("--count") && message.contains("at most"), "{message}");
    let recipe = recipe(folder.path(), SMALL);
    for (key, value) in [
        ("tokenizer.train.batch_size", "1000000000000"),
        ("tokenizer.channels", "1000000000"),
        ("tokenizer.quantizer.codebook_size", "1000000000000"),
        ("prior.0.dim", "1000000000"),
        ("prior.0.num_layers", "1000000000"),
        ("data.workers", "100000"),
        ("data.prefetch", "4000000000"),
        ("data.image_size", "2000000000"),
        ("data.source.count", "18446744073709551615"),
        ("sample.count", "1000000000000000"),
    ] {
        let set = format!("{key}={value}");
        let run = folder.path().join("run");
        let message = fail(&["train", &recipe, "--run", text(&run), "--set", &set], &[1, 2]);
        assert!(!run.exists(), "{set}: {message}");
    }
}

/// A copy of the shared run whose network `stage` has one weight replaced, as if it had been trained so.
fn with_weight(folder: &Path, stage: &str, value: f64) -> PathBuf {
    let copy = folder.join(format!("{}-{value}", stage.replace('/', "-")));
    assert!(Command::new("cp").arg("-a").args([shared_run(), &copy]).status().unwrap().success());
    let path = copy.join("run.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let done = record["stages"].as_array_mut().unwrap().iter_mut().find(|of| of["name"] == stage).unwrap();
    let checkpoint = copy.join(done["done"]["path"].as_str().unwrap());
    let file = ["ema.safetensors", "model.safetensors"].map(|name| checkpoint.join(name));
    let file = file.iter().find(|file| file.is_file()).unwrap();
    let mut tensors = weights::read(file).unwrap();
    let (_, tensor) = tensors.iter_mut().find(|(_, tensor)| tensor.kind() == Kind::Float && tensor.dim() > 1).unwrap();
    let _ = tensor.view(-1).i(0).fill_(value);
    weights::save(file, &tensors, &BTreeMap::new()).unwrap();
    let fingerprint = blake3::hash(&fs::read(file).unwrap()).to_hex().to_string();
    done["done"]["fingerprint"] = fingerprint.into();
    fs::write(&path, record.to_string()).unwrap();
    copy
}

#[test]
fn weights_that_are_not_finite_are_refused_by_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let images = format!("{}/samples", text(shared_run()));
    let picture = format!("{images}/000000.png");
    let out = folder.path().join("out");
    let out = text(&out);
    for (stage, value) in [("tokenizer", f64::NAN), ("tokenizer", f64::INFINITY), ("prior/0", f64::NEG_INFINITY)] {
        let run = with_weight(folder.path(), stage, value);
        let run = text(&run);
        let of_prior: &[&[&str]] = &[
            &["sample", run, "-n", "1", "-o", out],
            &["complete", run, &picture, "--keep", "top=0.5", "-n", "1", "-o", out],
            &["evaluate", run],
        ];
        let of_tokenizer: &[&[&str]] = &[
            &["tokenize", run, &images, "-o", out],
            &["reconstruct", run, &images, "-o", out],
            &["inspect", run],
            &["inspect", run, "-o", out],
            &["compare", run, "--data", &images, "-o", out],
        ];
        let calls = if stage == "tokenizer" { [of_prior, of_tokenizer].concat() } else { of_prior.to_vec() };
        for call in calls {
            let message = fail(call, &[1]);
            // An evaluation notices first that the tokens are not that tokenizer's.
            let is_told = message.contains("finite") || message.contains("written by a tokenizer other than");
            assert!(is_told, "{call:?}: {message}");
            assert!(!Path::new(out).exists(), "{call:?}");
        }
    }
}

/// A call that may take so many megabytes of address space, and no more.
fn within(megabytes: u64, words: &[&str]) -> Output {
    let limited = format!("ulimit -v {}; exec \"$@\"", megabytes * 1024);
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh"]).arg(env!("CARGO_BIN_EXE_vqkit"));
    command.args(["--device", "cpu", "--threads", "1"]).args(words).output().unwrap()
}

#[test]
fn with_too_little_memory_nothing_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let starts = |megabytes: &u64| within(*megabytes, &["--version"]).status.success();
    // Below, the system cannot load the libraries.
    let least = (200..4000).step_by(20).find(starts).expect("4 GB are enough");
    let call = ["sample", text(shared_run()), "-n", "9", "-o", text(&out)];
    for more in [0, 60, 120, 200] {
        let output = within(least + more, &call);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{more}: {}\n{said}", output.status);
        assert!(said.contains("the least that any work takes"), "{more}: {said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{more}");
    }
    assert!(within(least + 2000, &call).status.success());
}

#[test]
fn memory_that_runs_out_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), SMALL);
    // Too much for what reads the images, and for what the network makes of them.
    for (batch_size, channels) in [(40_000, 8), (12_000, 64)] {
        let run = folder.path().join("run");
        let batch = format!("tokenizer.train.batch_size={batch_size}");
        let width = format!("tokenizer.channels={channels}");
        let call = ["train", &recipe, "--run", text(&run), "--stage", "tokenizer", "--set", &batch, "--set", &width];
        let output = within(3000, &call);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{batch_size}: {}\n{said}", output.status);
        assert!(said.contains("not enough memory for"), "{batch_size}: {said}");
        assert!(INSIDES.iter().all(|sign| !said.contains(sign)), "{batch_size}: {said}");
        fs::remove_dir_all(&run).unwrap();
    }
}

#[test]
fn special_files_are_no_pictures_and_no_bombs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run_folder = text(shared_run());
    let picture = format!("{run_folder}/samples/000000.png");
    for (call, what) in [
        (&["complete", run_folder, "/dev/zero", "--keep", "top=0.5"][..], "is a device"),
        (&["complete", run_folder, &picture, "--mask", "/dev/zero"], "is a device"),
        (&["complete", run_folder, text(folder.path()), "--keep", "top=0.5"], "is a folder"),
    ] {
        let message = fail(&[call, &["-o", text(&out)]].concat(), &[2]);
        assert!(message.contains(what), "{message}");
    }
    assert!(fail(&["inspect", "/dev/zero"], &[1]).contains("not a plain file"));
    assert!(fail(&["train", "/dev/zero"], &[1]).contains("is longer than"));
}

#[test]
fn deep_recipes_are_refused_and_do_not_overflow() {
    let folder = tempfile::tempdir().unwrap();
    for depth in [100, 10_000, 60_000] {
        let nested = format!("a = {}1{}\n", "[".repeat(depth), "]".repeat(depth));
        let tables = format!("a = {}b = 1{}\n", "{ b = ".repeat(depth), " }".repeat(depth));
        let dotted = format!("{} = 1\n", vec!["a"; depth].join("."));
        let braces = format!(
            "name = \"x\"\n[data]\nimage_size = 8\n[data.source]\ntype = \"tar\"\ntrain = \"{}\"\n[tokenizer]\n",
            "{a}".repeat(depth)
        );
        for text in [nested, tables, dotted, braces] {
            fail(&["train", &recipe(folder.path(), &text)], &[2]);
        }
        let key = format!("{}=1", vec!["a"; depth].join("."));
        fail(&["train", &recipe(folder.path(), SMALL), "--set", &key], &[2]);
    }
}

#[test]
fn a_run_that_may_not_be_read_is_not_called_something_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("private");
    assert!(Command::new("cp").arg("-a").args([shared_run(), &private]).status().unwrap().success());
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is closed to root.
    if fs::read_dir(&private).is_err() {
        let message = fail(&["sample", text(&private), "-n", "1"], &[1]);
        assert!(message.contains("denied") && !message.contains("not a run"), "{message}");
    }
    fs::set_permissions(&private, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(run(&["inspect", text(&private)]).status.success());
}
