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
        for (file, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            for place in ["/tmp/", "/home/", "/root/", "/work/"] {
                assert!(!text.contains(place), "{file} of {} names {place}", name(&model));
            }
        }
    }
}

#[test]
fn every_model_draws_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        let out = folder.path().join(name(&model));
        // Whichever of its conditions the model's card begins with; a model of several takes one alone.
        let condition = match name(&model).as_str() {
            "emoji" => ["--text", "red apple"],
            "clothes" => ["--class", "dress"],
            _ => ["--class", "circle"],
        };
        succeed(&[&["sample", "--model", &name(&model), "-n", "2", "-o", text(&out)], &condition[..]].concat());
        let images = [0, 1].map(|index| fs::read(out.join(format!("{index:06}.png"))).unwrap());
        assert_ne!(images[0], images[1], "{}", name(&model));
    }
}
