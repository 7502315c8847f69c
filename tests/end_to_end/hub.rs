//! Weights by name: the list, the Hub in place of a path, and uploads, against a server that plays the Hub.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use vqkit_testing::{FakeHub, HubState};

use crate::vqkit::{SMALL, recipe, shared_run, stderr, succeed, text, vqkit, weights};

/// The binary with this server as the Hub, and a cache of its own.
fn with_hub(hub: &FakeHub, cache: &TempDir, arguments: &[&str]) -> Command {
    let mut command = vqkit(arguments);
    command.env_remove("VQKIT_OFFLINE").env("HF_ENDPOINT", hub.server.url()).env("HF_HOME", cache.path());
    for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn message(command: &mut Command, code: i32) -> String {
    let output: Output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn the_list_names_what_can_be_fetched() {
    let table = succeed(&["weights", "list"]);
    assert!(table.contains("vgg16") && table.contains("hf://FoundationVision/LlamaGen/vq_ds16_c2i.pt"), "{table}");
    let list: Value = serde_json::from_str(&succeed(&["weights", "list", "--json"])).unwrap();
    let named = |name: &str| list.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(
        (&named("vgg16")["becomes"], &named("rar-b")["becomes"]),
        (&"perceptual-network".into(), &"prior".into())
    );
    assert_eq!(named("rar-b")["bytes"], 1_043_822_726_u64);
    assert_eq!(named("rar-xxl")["sha256"], Value::Null);
    let message = message(&mut vqkit(&["weights", "fetch", "vgg17"]), 2);
    assert!(message.contains("`vgg16`"), "{message}");
}

#[test]
fn training_starts_from_weights_on_the_hub() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = shared_run().join("tokenizer/last/ema.safetensors");
    let hub = FakeHub::start(HubState::of(&[("model.safetensors", &fs::read(&theirs).unwrap())])).unwrap();
    let run = folder.path().join("run");
    let recipe = recipe(folder.path(), SMALL);
    let from = "tokenizer.finetune.from=hf://me/model/model.safetensors";
    let train = |run: &Path, extra: &[&str]| {
        let few = ["tokenizer.train.steps=1", "tokenizer.train.learning_rate=1e-12", from];
        let set = few.iter().chain(extra).flat_map(|assignment| ["--set", assignment]);
        let call = ["train", &recipe, "--run", text(run), "--stage", "tokenizer"].into_iter().chain(set);
        with_hub(&hub, &cache, &call.collect::<Vec<_>>())
    };

    // Offline it cannot begin, and writes nothing.
    let offline = message(train(&run, &[]).env("VQKIT_OFFLINE", "1"), 1);
    assert!(offline.contains("`vqkit weights fetch hf://me/model/model.safetensors`"), "{offline}");
    assert!(offline.contains(text(cache.path())) && !run.exists(), "{offline}");

    output(&mut train(&run, &[]));
    let [ours, theirs] = [run.join("tokenizer/last/model.safetensors"), theirs].map(|path| weights(&path));
    let name = theirs.keys().find(|name| name.starts_with("encoder") && name.ends_with("weight")).unwrap();
    assert!((&ours[name] - &theirs[name]).abs().max().double_value(&[]) < 1e-6, "{name}");
    assert!(fs::read_to_string(run.join("recipe.toml")).unwrap().contains("hf://me/model/model.safetensors"));

    // From now on the cache has it.
    let path = output(with_hub(&hub, &cache, &["weights", "fetch", "hf://me/model"]).env("VQKIT_OFFLINE", "1"));
    assert!(path.contains("snapshots") && path.contains("SHA-256"), "{path}");
    let shown =
        output(with_hub(&hub, &cache, &["inspect", "hf://me/model/model.safetensors"]).env("VQKIT_OFFLINE", "1"));
    assert!(shown.contains(name), "{shown}");
    assert_eq!(hub.count("GET /storage/"), 1);
}

#[test]
fn a_folder_is_uploaded_and_fetched_again() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("model.safetensors"), "large").unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let hub = FakeHub::start(HubState { token: Some("hf_own".into()), ..HubState::default() }).unwrap();
    let call = ["push", text(folder.path()), "hf://me/model", "--message", "first", "--private"];
    let without = message(&mut with_hub(&hub, &cache, &call), 1);
    assert!(without.contains("HF_TOKEN"), "{without}");
    fs::write(cache.path().join("token"), "hf_own\n").unwrap();
    let said = output(&mut with_hub(&hub, &cache, &call));
    assert!(said.contains("2 files uploaded, 0 unchanged") && said.contains("/me/model"), "{said}");
    assert_eq!(hub.state().commits[0][0]["value"]["summary"], "first");
    let files = output(&mut with_hub(&hub, &cache, &["weights", "fetch", "hf://me/model", "--json"]));
    let files: Value = serde_json::from_str(&files).unwrap();
    let names = files.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().rsplit('/').next().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["config.json", "model.safetensors"]);
    assert!(
        message(&mut with_hub(&hub, &cache, &["push", text(folder.path()), "me/model"]), 2).contains("hf://OWNER/NAME")
    );
}
