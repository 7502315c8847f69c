//! The models that come with vqkit: small, with their licence, without a trace of the machine, and of use offline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::vqkit::{content, succeed, text};

/// The largest size of a model, in bytes.
const LARGEST: u64 = 12_000_000;

fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models");
    let mut models: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.is_dir());
    models.sort();
    models
}

fn name(model: &Path) -> String {
    model.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_model_is_small_and_says_where_it_comes_from() {
    assert!(!models().is_empty());
    for model in models() {
        let files = content(&model);
        let size: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
        assert!(size < LARGEST, "{} has {size} bytes", name(&model));
        let card = fs::read_to_string(model.join("README.md")).unwrap();
        for part in ["licence", "configs/", "vqkit sample --model"] {
            assert!(card.contains(part), "the card of {} lacks `{part}`", name(&model));
        }
        for (file, bytes) in files.iter().filter(|(file, _)| !file.ends_with(".safetensors")) {
            let text = String::from_utf8_lossy(bytes);
            let place = text.split_whitespace().find(|word| word.trim_start_matches(['"', '\'']).starts_with('/'));
            assert_eq!(place, None, "{file} of {} names a path of one machine", name(&model));
        }
    }
}

#[test]
fn every_model_draws_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        let out = folder.path().join(name(&model));
        let recipe: toml::Table = fs::read_to_string(model.join("recipe.toml")).unwrap().parse().unwrap();
        let condition = match recipe["condition"].get("class").and_then(toml::Value::as_bool) {
            Some(true) => &["--class-index", "0"][..],
            _ => &["--text", "red apple", "--text", "rainbow", "--samples-per-condition", "1"],
        };
        let call = ["sample", "--model", &name(&model), "-n", "2", "-o", text(&out)];
        succeed(&[&call[..], condition].concat());
        let images = [0, 1].map(|index| fs::read(out.join(format!("{index:06}.png"))).unwrap());
        assert_ne!(images[0], images[1], "{}", name(&model));
    }
}
