//! Runs to pass on: what is left of them draws the same images, and models are found by name.

use std::{fs, path::Path};

use crate::vqkit::{fail, shared_run, succeed, text, vqkit};

/// Bytes of the files of weights below a folder.
fn bytes_of_weights(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bytes = |path: std::path::PathBuf| match path.is_dir() {
        true if path.is_symlink() => 0,
        true => bytes_of_weights(&path),
        false if path.ends_with("model.safetensors") => path.metadata().unwrap().len(),
        false => 0,
    };
    entries.map(bytes).sum()
}

fn drawn(arguments: &[&str], out: &Path) -> Vec<Vec<u8>> {
    let more = ["-n", "4", "--class-index", "2", "--seed", "5", "-o", text(out)];
    succeed(&[&["sample"], arguments, &more].concat());
    (0..4).map(|index| fs::read(out.join(format!("{index:06}.png"))).unwrap()).collect()
}

#[test]
fn a_packed_run_draws_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&["export", text(shared_run()), "--to", "run", "-o", text(&at("packed"))]);
    let own = drawn(&[text(shared_run())], &at("own"));
    assert_eq!(drawn(&[text(&at("packed"))], &at("again")), own);
    let card = fs::read_to_string(at("packed/README.md")).unwrap();
    assert!(card.contains("vqkit sample"), "{card}");
    for path in ["tokenizer/last/optimizer.safetensors", "log.jsonl", "samples"] {
        assert!(!at("packed").join(path).exists(), "{path}");
    }
}

#[test]
fn bf16_halves_the_weights_and_the_run_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for dtype in ["fp32", "bf16"] {
        succeed(&["export", text(shared_run()), "--to", "run", "--dtype", dtype, "-o", text(&at(dtype))]);
    }
    let [whole, rounded] = ["fp32", "bf16"].map(|dtype| bytes_of_weights(&at(dtype)));
    assert!(rounded * 4 < whole * 3, "{rounded} of {whole} bytes");
    drawn(&[text(&at("bf16"))], &at("images"));
    succeed(&["inspect", text(&at("bf16"))]);
    let message =
        fail(&["export", text(shared_run()), "--to", "onnx", "--dtype", "bf16", "-o", text(&at("onnx"))], &[2]);
    assert!(message.contains("--dtype"), "{message}");
    assert!(!at("onnx").exists());
}

#[test]
fn models_are_found_by_name_and_their_images_stay_out_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    succeed(&["export", text(shared_run()), "--to", "run", "-o", text(&models.join("small"))]);
    let sample = |name: &str| {
        let mut command = vqkit(&["sample", "--model", name, "-n", "2"]);
        command.env("VQKIT_MODELS", &models).current_dir(folder.path()).output().unwrap()
    };
    assert!(sample("small").status.success());
    assert!(folder.path().join("small-1/000001.png").is_file());
    let before = fs::read_dir(models.join("small")).unwrap().count();
    assert!(sample("small").status.success());
    assert!(folder.path().join("small-2").is_dir());
    assert_eq!(fs::read_dir(models.join("small")).unwrap().count(), before);
    let unknown = sample("large");
    assert_eq!(unknown.status.code(), Some(2));
    let message = String::from_utf8(unknown.stderr).unwrap();
    assert!(message.contains("--model") && message.contains("there are small"), "{message}");
}
