//! The corpus of awkward and broken files, through the binary. It is skipped, and says so, where it is not there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::vqkit::{SMALL, fail, run, shared_run, stderr, succeed, text};

#[derive(Deserialize)]
struct Manifest {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    kind: String,
    expect: String,
    usable_samples: Option<usize>,
    total_samples: Option<usize>,
    must_not_exist: Option<String>,
}

fn corpus() -> Option<(PathBuf, Manifest)> {
    let folder = vqkit_testing::corpus("bad")?;
    let text = fs::read_to_string(folder.join("MANIFEST.toml")).expect("a corpus has a manifest");
    Some((folder, toml::from_str(&text).expect("the manifest is TOML")))
}

#[test]
fn images_are_read_or_refused_by_name() {
    let Some((corpus, manifest)) = corpus() else { return };
    for case in manifest.case.iter().filter(|case| case.kind == "image") {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        fs::create_dir(&images).unwrap();
        fs::copy(corpus.join(&case.file), images.join(&case.file)).unwrap();
        let out = folder.path().join("out");
        let call = ["tokenize", text(shared_run()), text(&images), "-o", text(&out)];
        match case.expect.as_str() {
            "read" => {
                succeed(&call);
                assert!(out.join("train-00000.safetensors").is_file(), "{}", case.file);
            }
            _ => {
                let message = fail(&call, &[1]);
                assert!(message.contains(&case.file), "{message}");
                assert!(!out.exists(), "{} left output behind", case.file);
            }
        }
    }
}

#[test]
fn archives_are_read_or_refused_by_name() {
    let Some((corpus, manifest)) = corpus() else { return };
    for case in manifest.case.iter().filter(|case| case.kind == "tar") {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join(&case.file);
        fs::copy(corpus.join(&case.file), &archive).unwrap();
        let out = folder.path().join("out");
        let output = run(&["tokenize", text(shared_run()), text(&archive), "-o", text(&out)]);
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        if output.status.success() {
            assert_ne!(case.expect, "reject", "{}", case.file);
            let found = succeed(&["inspect", text(&out.join("train-00000.safetensors")), "--json"]);
            let found: serde_json::Value = serde_json::from_str(&found).unwrap();
            let images = found["images"].as_u64().unwrap() as usize;
            assert!([case.usable_samples, case.total_samples].contains(&Some(images)), "{}: {images}", case.file);
        } else {
            assert_ne!(case.expect, "read", "{}: {}", case.file, stderr(&output));
            assert!(stderr(&output).contains(&case.file), "{}", stderr(&output));
            assert!(!out.exists(), "{} left output behind", case.file);
        }
        if let Some(path) = &case.must_not_exist {
            assert!(!folder.path().join(path).exists(), "{} wrote {path}", case.file);
        }
    }
}

#[test]
fn weights_files_are_read_or_refused_by_name_and_run_no_code() {
    let Some((corpus, manifest)) = corpus() else { return };
    for case in manifest.case.iter().filter(|case| ["safetensors", "checkpoint"].contains(&case.kind.as_str())) {
        let folder = tempfile::tempdir().unwrap();
        let path = corpus.join(&case.file);
        let call = ["inspect", text(&path)];
        match case.expect.as_str() {
            "read" => assert!(succeed(&call).contains("2 tensors")),
            _ => assert!(fail(&call, &[1]).contains(&case.file)),
        }
        if let Some(path) = &case.must_not_exist {
            assert!(!folder.path().join(path).exists() && !Path::new(path).exists(), "{} ran code", case.file);
        }
    }
}

#[test]
fn an_empty_recipe_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = crate::vqkit::recipe(folder.path(), "");
    assert!(fail(&["train", &recipe], &[2]).contains("missing section [data]"));
}

#[test]
fn bad_items_are_skipped_and_counted_only_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for index in 0..9 {
        let sample = shared_run().join(format!("samples/{index:06}.png"));
        fs::copy(sample, images.join(format!("{index}.png"))).unwrap();
    }
    fs::write(images.join("broken.png"), b"not a picture").unwrap();
    let source = format!("type = \"folder\"\ntrain = \"{}\"", text(&images));
    let recipe_text = SMALL
        .replace("type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 1", &source)
        .replace("image_size = 24", "image_size = 24\nvalidation = 0.2")
        .replace("class = true", "class = false");
    let recipe = crate::vqkit::recipe(folder.path(), &recipe_text);
    let run = folder.path().join("run");
    let call = ["train", &recipe, "--run", text(&run), "--stage", "tokenizer"];
    let message = fail(&call, &[1]);
    assert!(message.contains("broken.png"), "{message}");
    let skip = ["--set", "data.on_error=skip", "--resume"];
    let run2 = folder.path().join("run2");
    let call = ["train", &recipe, "--run", text(&run2), "--stage", "tokenizer"];
    let message = fail(&[&call[..], &skip[..]].concat(), &[1]);
    assert!(message.contains("max_error_rate"), "{message}");
    let run3 = folder.path().join("run3");
    let call = ["train", &recipe, "--run", text(&run3), "--stage", "tokenizer", "--set", "data.max_error_rate=0.3"];
    succeed(&[&call[..], &skip[..]].concat());
    let bad = fs::read_to_string(run3.join("tokenizer/bad.json")).unwrap();
    assert!(bad.contains("broken.png"), "{bad}");
}
