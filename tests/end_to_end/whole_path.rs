//! Images in, tokenizer and prior trained, new images out, and every verb on the result.

use std::fs;

use serde_json::Value;

use crate::vqkit::{SMALL, fail, recipe, shared_run, stderr, succeed, text, vqkit};

#[test]
fn a_run_holds_everything_it_promises() {
    let run = shared_run();
    for file in [
        "recipe.toml",
        "run.json",
        "log.jsonl",
        "events.out.tfevents.0.vqkit",
        "tokenizer/best/ema.safetensors",
        "tokenizer/last/model.safetensors",
        "tokenizer/last/optimizer.safetensors",
        "tokenizer/last/state.json",
        "tokens/train-00000.safetensors",
        "tokens/validation-00000.safetensors",
        "prior/0/last/model.safetensors",
        "samples/overview/grid.png",
        "samples/000008.png",
        "samples/samples.json",
        "report/metrics.json",
        "report/report.html",
    ] {
        let length = run.join(file).metadata().map_or(0, |metadata| metadata.len());
        assert!(length > 0, "{file} is missing or empty");
    }
    let resolved = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(resolved.contains("clip_norm = 1.0"), "defaults are written out:\n{resolved}");
}

#[test]
fn a_run_may_be_named_without_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), SMALL);
    let few = ["--stage", "tokenizer", "--set", "tokenizer.train.steps=1"];
    let mut command = vqkit(&[&["train", &recipe, "--run", "plain"], &few[..]].concat());
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.path().join("plain/tokenizer/last/model.safetensors").is_file());
}

#[test]
fn samples_are_a_function_of_run_class_and_seed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |out: &str, extra: &[&str]| -> Vec<Vec<u8>> {
        let out = folder.path().join(out);
        let arguments = ["sample", text(shared_run()), "-o", text(&out), "--class", "circle"];
        succeed(&[&arguments, extra].concat());
        (0..3).map(|index| fs::read(out.join(format!("{index:06}.png"))).unwrap()).collect()
    };
    let three = sample("three", &["-n", "3"]);
    assert_eq!(three, sample("more", &["-n", "5"]), "a sample does not depend on its neighbours");
    assert_ne!(three, sample("other", &["-n", "3", "--seed", "9"]));
    let record: Value = serde_json::from_slice(&fs::read(folder.path().join("three/samples.json")).unwrap()).unwrap();
    assert_eq!(record["samples"][2]["class"], "circle");
    assert_eq!(record["samples"].as_array().unwrap().len(), 3);
}

#[test]
fn sampling_refuses_what_the_run_cannot_do_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let sample = |extra: &[&str]| {
        let message = fail(&[&["sample", text(shared_run()), "-o", text(&out)], extra].concat(), &[2]);
        assert!(!out.exists());
        message
    };
    let message = sample(&["--class", "unicorn"]);
    assert!(message.contains("`unicorn`") && message.contains("circle"), "{message}");
    assert!(sample(&["--class", "99"]).contains("`99`"));
    assert!(sample(&["--temperature", "-1"]).contains("temperature"));
    assert!(sample(&["-n", "0"]).contains("at least 1"));
    let message = fail(&["sample", text(folder.path())], &[1]);
    assert!(message.contains("not a run folder"), "{message}");
}

#[test]
fn the_other_verbs_work_on_a_run() {
    let run = text(shared_run());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let said = succeed(&["reconstruct", run, &format!("{run}/samples"), "-o", text(&at("pairs"))]);
    assert!(said.contains("dB"), "{said}");
    assert_eq!(fs::read_dir(at("pairs")).unwrap().count(), 9, "the samples, without their overviews");
    // A single image, and several by a pattern and by path, are images too.
    succeed(&["reconstruct", run, &format!("{run}/samples/000003.png"), "-o", text(&at("one"))]);
    assert!(at("one/000003.png.png").is_file() || at("one/000003.png").is_file());
    let several = [format!("{run}/samples/00000[01].png"), format!("{run}/samples/000004.png")];
    succeed(&["reconstruct", run, &several[0], &several[1], "-o", text(&at("several"))]);
    assert_eq!(fs::read_dir(at("several")).unwrap().count(), 3);
    succeed(&["tokenize", run, &format!("{run}/samples"), "-o", text(&at("tokens"))]);
    let tokens = text(&at("tokens/train-00000.safetensors")).to_owned();
    let found: Value = serde_json::from_str(&succeed(&["inspect", &tokens, "--json"])).unwrap();
    assert_eq!(found["grids"], serde_json::json!([[1, 6, 6]]));
    assert_eq!(found["images"], 9);
    assert!(succeed(&["inspect", run]).contains("prior/0"));
    assert!(succeed(&["inspect", &format!("{run}/tokenizer/last")]).contains("numbers"));
    assert!(fail(&["tokenize", run, run, "-o", text(&at("tokens"))], &[2]).contains("exists already"));
}

#[test]
fn evaluate_prints_the_figures_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = crate::vqkit::train_small(folder.path());
    let before: Value = serde_json::from_slice(&fs::read(run.join("report/metrics.json")).unwrap()).unwrap();
    let after: Value = serde_json::from_str(&succeed(&["evaluate", text(&run), "--json"])).unwrap();
    assert_eq!(before, after);
    let level = &after["levels"][0];
    assert_eq!((&level["codes"], &level["positions"]), (&16.into(), &36.into()));
    assert!(level["prior_bits_per_token"].as_f64().unwrap() > 0.0);
    assert!(after["reconstruction_psnr_db"].as_f64().unwrap() > 5.0);
    let ssim = after["reconstruction_similarity"]["ssim"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&ssim), "{ssim}");
    let rate = &after["rate"];
    assert_eq!(rate["fixed_bits_per_pixel"], 36.0 * 4.0 / (24.0 * 24.0));
    assert!(rate["unigram_bits_per_pixel"].as_f64().unwrap() <= 0.25);
    assert_eq!(after["protocol"]["name"], "vqkit-validation-1");
    assert_eq!(after["protocol"]["sampling"]["seed"], 0);
}
