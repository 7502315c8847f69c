//! The health of codebooks: what `inspect` says and draws of them, and what training warns of.

use std::{fs, path::Path};

use serde_json::Value;

use crate::vqkit::{SMALL, fail, recipe, run, shared_adversarial, shared_run, stderr, succeed, text};

/// Width and height of a PNG file that a decoder reads to its end, and in how many colours it is.
fn picture(path: &Path) -> ((u32, u32), usize) {
    let picture = image::open(path).unwrap().to_rgb8();
    let colours: std::collections::HashSet<_> = picture.pixels().collect();
    (picture.dimensions(), colours.len())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_run_shows_its_codebook_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("codebooks");
    let said = succeed(&["inspect", text(shared_run()), "-o", text(&out)]);
    assert!(said.contains("prior/0") && said.contains("codebook 0: 16 codes of width"), "{said}");
    assert!(said.contains("over 3456 tokens") && said.contains("nearest other code"), "{said}");
    assert_eq!(names(&out), ["atlas-0.png", "map-0.png", "use-0.png"]);
    for (name, size) in [("atlas-0.png", (202, 202)), ("map-0.png", (900, 820)), ("use-0.png", (900, 480))] {
        let (found, colours) = picture(&out.join(name));
        assert_eq!(found, size, "{name}");
        assert!(colours > 4, "{name} shows nothing: {colours} colours");
    }
    let message = fail(&["inspect", text(shared_run()), "-o", text(&out)], &[2]);
    assert!(message.contains("exists already"), "{message}");
}

#[test]
fn the_figures_are_there_as_json() {
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(shared_run()), "--json"])).unwrap();
    assert_eq!(found["counted"], "tokens");
    let health = &found["codebooks"][0]["health"];
    assert_eq!((&health["size"], &health["used"]["tokens"]), (&16.into(), &3456.into()));
    let perplexity = health["used"]["perplexity"].as_f64().unwrap();
    assert!((1.0..=16.0).contains(&perplexity), "{perplexity}");
    assert!(health["ages"]["oldest"].as_f64().unwrap() <= 40.0, "there were 40 updates");
    assert!(health["distances"]["median"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_checkpoint_shows_its_codebook_where_its_run_is_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let checkpoint = shared_adversarial().join("tokenizer/last");
    let said = succeed(&["inspect", text(&checkpoint), "-o", text(&out)]);
    assert!(said.contains("numbers") && said.contains("codebook 0: 16 codes of width 8"), "{said}");
    assert!(said.contains("usage of codes unknown"), "an epoch began with the last step: {said}");
    assert_eq!(names(&out), ["atlas-0.png", "map-0.png"]);
    let alone = folder.path().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(checkpoint.join("model.safetensors"), alone.join("model.safetensors")).unwrap();
    assert!(!succeed(&["inspect", text(&alone)]).contains("codebook 0"));
}

#[test]
fn pictures_are_refused_where_there_is_no_codebook() {
    let folder = tempfile::tempdir().unwrap();
    let (out, young) = (folder.path().join("out"), folder.path().join("young"));
    let draw = |path: &Path, code: i32| {
        let message = fail(&["inspect", text(path), "-o", text(&out)], &[code]);
        assert!(!out.exists(), "{message}");
        message
    };
    assert!(draw(&folder.path().join("nowhere"), 2).contains("there is nothing at"));
    assert!(draw(&shared_run().join("tokens/train-00000.safetensors"), 2).contains("name a run"));
    assert!(draw(&shared_run().join("prior/0/last"), 2).contains("name a run"));
    fs::create_dir(&young).unwrap();
    fs::copy(shared_run().join("recipe.toml"), young.join("recipe.toml")).unwrap();
    let mut record: Value = serde_json::from_slice(&fs::read(shared_run().join("run.json")).unwrap()).unwrap();
    record["stages"] = Value::Array(Vec::new());
    fs::write(young.join("run.json"), record.to_string()).unwrap();
    assert!(draw(&young, 1).contains("`tokenizer` is not done"));
    assert!(!succeed(&["inspect", text(&young)]).contains("codebook"));
}

#[test]
fn a_collapse_is_told_with_its_cause_and_epochs_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, out) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let call = ["train", &recipe, "--run", text(&out), "--stage", "tokenizer"];
    let output = run(&[
        &call[..],
        &["--set", "tokenizer.train.steps=6", "--set", "tokenizer.quantizer.codebook_size=2048"],
        &["--set", "tokenizer.quantizer.kmeans_init=false", "--set", "tokenizer.quantizer.revive_after=0"],
    ]
    .concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("codebook 0 collapses") && said.contains("revive_after = 100"), "{said}");
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    let epoch = log.lines().find(|line| line.contains("epoch_usage_0")).unwrap();
    let epoch: Value = serde_json::from_str(epoch).unwrap();
    assert_eq!((&epoch["step"], &epoch["oldest_code_0"]), (&6.into(), &6.0.into()));
    assert_eq!(epoch["duplicate_codes_0"], 0.0);
    assert!(epoch["epoch_usage_0"].as_f64().unwrap() < 0.1);
}

#[test]
fn a_collapse_that_draws_hide_in_training_is_seen_on_validation_images() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, out) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let gumbel = "tokenizer.quantizer={ type = \"gumbel\", codebook_size = 1024 }";
    let steps = ["--set", "tokenizer.train.steps=6", "--set", "tokenizer.train.validate_every=6"];
    let call = ["train", &recipe, "--run", text(&out), "--stage", "tokenizer", "--set", gumbel];
    let output = run(&[&call[..], &steps].concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    let metric = |key: &str| {
        let line = log.lines().find(|line| line.contains(key)).unwrap();
        serde_json::from_str::<Value>(line).unwrap()[key].as_f64().unwrap()
    };
    assert!(metric("epoch_usage_0") > 0.5 && metric("validation_usage_0") < 0.1, "{log}");
    assert!(
        said.contains("used on validation images; the logits favour few codes: raise tokenizer.quantizer.kl_weight"),
        "{said}"
    );
}

#[test]
fn several_codebooks_of_a_level_are_named_drawn_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, out) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let residual = "tokenizer.quantizer={ type = \"residual\", num_quantizers = 2, quantizer = { type = \"ema\", codebook_size = 8 } }";
    let few = ["--set", "tokenizer.train.steps=6", "--set", "prior=[]", "--set", "condition.class=false"];
    succeed(&[&["train", &recipe, "--run", text(&out), "--set", residual], &few[..]].concat());
    let pictures = folder.path().join("codebooks");
    let said = succeed(&["inspect", text(&out), "-o", text(&pictures)]);
    assert!(said.contains("codebook 0.0: 8 codes") && said.contains("codebook 0.1: 8 codes"), "{said}");
    let wanted =
        ["atlas-0.0", "atlas-0.1", "map-0.0", "map-0.1", "use-0.0", "use-0.1"].map(|name| format!("{name}.png"));
    assert_eq!(names(&pictures), wanted);
    let metrics: Value = serde_json::from_slice(&fs::read(out.join("report/metrics.json")).unwrap()).unwrap();
    assert_eq!((&metrics["levels"][0]["codebooks"], &metrics["levels"][0]["codes"]), (&2.into(), &8.into()));
    let page = fs::read_to_string(out.join("report/report.html")).unwrap();
    assert!(page.contains("atlas-0.1"), "the report shows every codebook");
}

#[test]
fn codes_that_a_rule_gives_have_no_map() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, out) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let fsq = "tokenizer.quantizer={ type = \"fsq\", levels = [8, 5] }";
    // Steps that end inside an epoch, so that its use is in the checkpoint.
    let few = ["--stage", "tokenizer", "--set", "tokenizer.train.steps=4"];
    succeed(&[&["train", &recipe, "--run", text(&out), "--set", fsq], &few[..]].concat());
    let pictures = folder.path().join("codebooks");
    let said = succeed(&["inspect", text(&out), "-o", text(&pictures)]);
    assert!(said.contains("codebook 0: 40 codes") && !said.contains("duplicates"), "{said}");
    assert_eq!(names(&pictures), ["atlas-0.png", "use-0.png"]);
}
