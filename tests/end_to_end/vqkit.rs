//! Calls of the binary, and what a run folder holds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;
use tch::Tensor;
use tempfile::TempDir;

/// A whole experiment that takes seconds: shapes of 24 pixels, 16 codes, a handful of steps.
pub const SMALL: &str = r#"
name = "small"
seed = 7

[data]
image_size = 24
[data.source]
type = "shapes"
count = 96
validation_count = 32
max_objects = 1

[tokenizer]
type = "vqvae"
channels = 8
residual_blocks = 1
residual_channels = 8
downsampling = 4
norm = "batch"
[tokenizer.quantizer]
type = "ema"
codebook_size = 16
[tokenizer.train]
steps = 40
batch_size = 16
optimizer = "muon"
learning_rate = 1e-3
ema_decay = 0.9
log_every = 5
validate_every = 20
checkpoint_every = 5

[condition]
class = true

[[prior]]
type = "pixelcnn"
dim = 8
num_layers = 3
[prior.train]
steps = 40
batch_size = 16
learning_rate = 1e-3
weight_decay = 0.01
log_every = 5
validate_every = 20
checkpoint_every = 5

[sample]
count = 9
"#;

/// A VQGAN of 24-pixel shapes with everything that adversarial training has; its discriminator sets in half-way.
pub const ADVERSARIAL: &str = r#"
name = "adversarial"
seed = 7

[data]
image_size = 24
[data.source]
type = "shapes"
count = 96
validation_count = 16
max_objects = 1

[tokenizer]
type = "vqgan"
ch = 32
ch_mult = [1, 1]
num_res_blocks = 1
attn_resolutions = []
resolution = 24
z_channels = 8
embed_dim = 8
dropout = 0.1
[tokenizer.quantizer]
type = "vq"
codebook_size = 16
revive_after = 5
[tokenizer.loss]
reconstruction = "l1"
[tokenizer.loss.perceptual]
type = "vgg"
weights = "cifar10"
[tokenizer.loss.adversarial]
start_step = 12
ramp_steps = 4
lecam_weight = 0.01
r1_weight = 0.1
r1_every = 4
[tokenizer.loss.adversarial.discriminator]
ndf = 8
n_layers = 2
norm = "batch"
[tokenizer.loss.adversarial.train]
learning_rate = 1e-3
[tokenizer.train]
steps = 24
batch_size = 8
grad_accumulation = 2
learning_rate = 1e-3
ema_decay = 0.9
log_every = 4
validate_every = 12
validate_samples = 16
checkpoint_every = 4
"#;

/// A call of the binary on one thread, with a cache that no other program shares, and without the network.
pub fn vqkit(arguments: &[&str]) -> Command {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vqkit"));
    command.env("XDG_CACHE_HOME", cache.path()).env("VQKIT_OFFLINE", "1");
    command.args(["--device", "cpu", "--threads", "1"]).args(arguments);
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    vqkit(arguments).output().expect("the binary starts")
}

/// Runs it and expects success; returns standard output.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?} failed:\n{}", stderr(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs it and expects the exit code and one clear message, which is returned.
pub fn fail(arguments: &[&str], codes: &[i32]) -> String {
    let output = run(arguments);
    let text = stderr(&output);
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{arguments:?}: {}\n{text}", output.status);
    for sign in ["panicked", "RUST_BACKTRACE", "Exception raised from", "stack backtrace"] {
        assert!(!text.contains(sign), "{arguments:?}: {text}");
    }
    let messages: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(messages.len(), 1, "{arguments:?}: {text}");
    messages[0].to_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a recipe into a folder and returns its path.
pub fn recipe(folder: &Path, text: &str) -> String {
    let path = folder.join("recipe.toml");
    fs::write(&path, text).expect("the folder is writable");
    path.to_str().expect("UTF-8").to_owned()
}

/// Trains the small recipe into `folder/run`.
pub fn train_small(folder: &Path) -> PathBuf {
    train(folder, SMALL, &[])
}

/// Trains a recipe into `folder/run`, with further arguments.
pub fn train(folder: &Path, of: &str, arguments: &[&str]) -> PathBuf {
    let run = folder.join("run");
    succeed(&[&["train", &recipe(folder, of), "--run", text(&run)], arguments].concat());
    run
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// One trained small run that tests share; they only read it.
pub fn shared_run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = train_small(folder.path());
        (folder, run)
    });
    path
}

/// A run of the adversarial recipe's tokenizer that tests share; they only read it.
pub fn shared_adversarial() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = train(folder.path(), ADVERSARIAL, &["--stage", "tokenizer"]);
        (folder, run)
    });
    path
}

/// What the priors make of their own samples, in nats. It moves with any condition that they are told, even before they are trained
/// enough to draw other pictures by it.
pub fn log_likelihoods(folder: &Path) -> Vec<f64> {
    let record = fs::read(folder.join("samples.json")).expect("a record of the samples");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    let samples = record["samples"].as_array().expect("an array");
    samples.iter().map(|sample| sample["log_likelihood"].as_f64().expect("a number")).collect()
}

/// The tensors of a file of weights.
pub fn weights(path: &Path) -> BTreeMap<String, Tensor> {
    vqkit_torch::weights::read(path).expect("a file of weights")
}

/// Every file below a folder, apart from times and durations: `clock.json`, the events (which carry wall times), the
/// lock, `seconds` in the log, and in `run.json` the command and the lengths of the logs.
pub fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(folder, folder, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable")) {
        let path = entry.path();
        let name = text(path.strip_prefix(root).expect("below the root")).to_owned();
        let kind = entry.file_type().expect("readable");
        let file_name = entry.file_name().into_string().expect("UTF-8");
        if kind.is_symlink() {
            files.insert(name, text(&fs::read_link(&path).expect("readable")).as_bytes().to_vec());
        } else if kind.is_dir() {
            collect(root, &path, files);
        } else if file_name != "clock.json" && file_name != ".lock" && !file_name.contains("tfevents") {
            let bytes = fs::read(&path).expect("readable");
            files.insert(name, without_times(&file_name, bytes));
        }
    }
}

fn without_times(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let text = || String::from_utf8(bytes.clone()).expect("UTF-8");
    match name {
        "log.jsonl" => {
            let lines = text().lines().map(parse).collect::<Vec<_>>();
            let timeless = lines.into_iter().map(|mut line| {
                line.as_object_mut().expect("an object").remove("seconds");
                line.to_string()
            });
            timeless.collect::<Vec<_>>().join("\n").into_bytes()
        }
        "run.json" => {
            let mut record = parse(&text());
            // Somebody may commit between two runs of a test.
            for of_call in ["command", "git"] {
                record["call"][of_call] = Value::Null;
            }
            for stage in record["stages"].as_array_mut().expect("an array") {
                stage["began"] = Value::Null;
            }
            record.to_string().into_bytes()
        }
        _ => bytes,
    }
}

/// Asserts that two folders hold the same, and names the first file that differs.
pub fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (content(left), content(right));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right));
    for (name, bytes) in &left {
        assert!(bytes == &right[name], "{name} differs");
    }
}
