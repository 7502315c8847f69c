//! A recipe that takes the trained tokenizer of another run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::vqkit::{SMALL, assert_same, fail, recipe, shared_run, stderr, succeed, text, train_small, vqkit};

/// The small recipe with `[tokenizer]` inherited from `run`.
fn taking(run: &Path) -> String {
    let (head, rest) = SMALL.split_once("[tokenizer]").unwrap();
    let (_, tail) = rest.split_once("[condition]").unwrap();
    format!("{head}[tokenizer]\nfrom = \"{}\"\n\n[condition]{tail}", text(run))
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn record(run: &Path) -> Value {
    serde_json::from_slice(&read(run.join("run.json"))).unwrap()
}

#[test]
fn a_run_with_anothers_tokenizer_needs_the_other_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    fs::create_dir(&first).unwrap();
    let other = train_small(&first);
    let (fingerprint, weights) =
        (record(&other)["stages"][0]["done"]["fingerprint"].clone(), other.join("tokenizer/best"));
    let weights = read(weights.join("ema.safetensors"));
    let recipe = recipe(folder.path(), &taking(&other));
    succeed(&["train", &recipe, "--run", text(&second)]);
    assert_eq!(record(&second)["stages"][0]["done"]["fingerprint"], fingerprint);
    assert_eq!(read(second.join("tokenizer/last/model.safetensors")), weights);
    let origin: Value = serde_json::from_slice(&read(second.join("tokenizer/last/origin.json"))).unwrap();
    assert_eq!((&origin["from"], &origin["fingerprint"]), (&text(&other).into(), &fingerprint));
    assert_same(&other.join("prior"), &second.join("prior"));
    let resolved = String::from_utf8(read(second.join("recipe.toml"))).unwrap();
    for kept in ["type = \"vqvae\"", "codebook_size = 16", "[tokenizer.inherited]"] {
        assert!(resolved.contains(kept), "{kept}: {resolved}");
    }

    fs::remove_dir_all(&first).unwrap();
    let drawn = folder.path().join("drawn");
    succeed(&["sample", text(&second), "-n", "2", "-o", text(&drawn)]);
    assert!(drawn.join("000001.png").is_file());
    assert!(succeed(&["inspect", text(&second)]).contains("codes of width"));
    succeed(&["evaluate", text(&second)]);
    succeed(&["train", &recipe, "--run", text(&second), "--resume"]);
    let third = folder.path().join("third");
    let again = vqkit::recipe::Recipe::read(&second.join("recipe.toml"), &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), resolved);
    assert!(fail(&["train", &recipe, "--run", text(&third)], &[2]).contains("tokenizer.from: there is no"));
    assert!(!third.exists());
}

#[test]
fn a_tokenizer_may_be_inherited_from_a_run_that_inherited_it_and_a_relative_path_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["one", "two"];
    let mut from = shared_run().to_owned();
    for name in names {
        let recipe = recipe(folder.path(), &taking(&from));
        let mut command = vqkit(&["train", &recipe, "--run", name, "--stage", "tokenizer"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        from = PathBuf::from(name);
    }
    let weights = names.map(|name| read(folder.path().join(name).join("tokenizer/last/model.safetensors")));
    assert!(weights[0] == weights[1] && weights[0] == read(shared_run().join("tokenizer/best/ema.safetensors")));
}

#[test]
fn a_run_that_cannot_give_a_tokenizer_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let refuse = |from: &Path, extra: &[&str], named: &[&str]| {
        let recipe = recipe(folder.path(), &taking(from));
        let message = fail(&[&["train", &recipe, "--run", text(&run)], extra].concat(), &[2]);
        for name in [&["tokenizer.from"], named].concat() {
            assert!(message.contains(name), "{name}: {message}");
        }
        assert!(!run.exists());
    };
    refuse(&folder.path().join("none"), &[], &["there is no", "none"]);
    refuse(folder.path(), &[], &["not a run folder"]);
    refuse(shared_run(), &["--set", "data.image_size=32"], &["24 x 24", "32 x 32"]);
    refuse(shared_run(), &["--set", "data.color=gray"], &["3 channels", "1 channels"]);
    let untrained = folder.path().join("untrained");
    fs::create_dir(&untrained).unwrap();
    fs::copy(shared_run().join("recipe.toml"), untrained.join("recipe.toml")).unwrap();
    let mut begun = record(shared_run());
    begun["stages"] = Value::Array(Vec::new());
    fs::write(untrained.join("run.json"), begun.to_string()).unwrap();
    refuse(&untrained, &[], &["stage `tokenizer` is not done"]);
}
