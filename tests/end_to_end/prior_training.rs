//! How priors are trained: on augmented images as well as on token files, in parts, and what is logged and reported.

use std::{fs, path::Path, thread, time::Duration};

use serde_json::Value;

use crate::{
    processes::{kill, start, wait_for},
    vqkit::{SMALL, assert_same, recipe, shared_run, succeed, text, train, weights},
};

/// The small recipe on a folder of pictures, whose prior looks at them mirrored through the tokenizer, in two parts a step.
fn encoding(images: &Path) -> String {
    let shapes = "type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 1";
    let folder = format!("type = \"folder\"\ntrain = \"{}\"", text(images));
    let changes = [
        (shapes, folder.as_str()),
        ("image_size = 24\n", "image_size = 24\nflip = true\nvalidation = 0.2\n"),
        ("class = true", "class = false"),
        ("num_layers = 3\n", "num_layers = 3\ntokens = \"encode\"\n"),
        ("weight_decay = 0.01\n", "weight_decay = 0.01\ngrad_accumulation = 2\n"),
    ];
    changes.into_iter().fold(SMALL.to_owned(), |recipe, (from, to)| {
        assert_eq!(recipe.matches(from).count(), 1, "{from}");
        recipe.replace(from, to)
    })
}

#[test]
fn a_prior_that_looks_at_augmented_images_is_killed_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    succeed(&["sample", text(shared_run()), "-n", "60", "-o", text(&images)]);
    let whole = train(folder.path(), &encoding(&images), &[]);
    let (recipe, run) = (recipe(folder.path(), &encoding(&images)), folder.path().join("killed"));
    for (index, moment) in ["prior/0/checkpoint-0000005", "prior/0/checkpoint-0000020"].into_iter().enumerate() {
        let mut child = start(&recipe, &run, &[]);
        wait_for(&run.join(moment), &mut child);
        thread::sleep(Duration::from_millis(11 * index as u64));
        kill(child);
    }
    succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    assert_same(&whole.join("prior"), &run.join("prior"));
    let moved = |run: &Path| weights(&run.join("prior/0/last/model.safetensors"));
    let files = folder.path().join("files");
    let overrides = ["--set", "prior.0.tokens=files"];
    succeed(&[&["train", &recipe, "--run", text(&files)], &overrides[..]].concat());
    assert!(moved(&files) != moved(&whole), "flipped images have other tokens");
}

#[test]
fn parts_of_a_batch_train_the_same_prior_up_to_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("[tokenizer]\nfrom = \"{}\"\n\n[condition]", text(shared_run()));
    let (head, rest) = SMALL.split_once("[tokenizer]").unwrap();
    let of = format!("{head}{from}{}", rest.split_once("[condition]").unwrap().1);
    let trained = |parts: &str| {
        let at = folder.path().join(parts);
        fs::create_dir(&at).unwrap();
        let parts = format!("prior.0.train.grad_accumulation={parts}");
        let sets = [&parts, "precision=fp32", "prior.0.train.steps=3", "sample.count=1"];
        let run = train(&at, &of, &sets.map(|set| ["--set", set]).concat());
        weights(&run.join("prior/0/last/model.safetensors"))
    };
    let (whole, split) = (trained("1"), trained("4"));
    for (name, want) in &whole {
        let apart = (&split[name] - want).abs().max().double_value(&[]);
        // Adam's first steps have the size of the learning rate, 1e-3, whatever the gradient: a sign may turn in rounding.
        assert!(apart < 5e-4, "`{name}` differs by {apart}");
    }
}

#[test]
fn validation_figures_are_logged_and_reported_in_every_unit() {
    let log = fs::read_to_string(shared_run().join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line.get("validation_nats_per_token").is_some()).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let [nats, bits, dim] = ["nats_per_token", "bits_per_token", "bits_per_dim"]
            .map(|unit| line[format!("validation_{unit}")].as_f64().unwrap());
        assert!((nats / std::f64::consts::LN_2 - bits).abs() < 1e-9);
        assert!((bits * 36.0 / (3.0 * 24.0 * 24.0) - dim).abs() < 1e-9);
    }
    let metrics = fs::read(shared_run().join("report/metrics.json")).unwrap();
    let metrics: Value = serde_json::from_slice(&metrics).unwrap();
    let of = |name: &str| metrics["rate"][name].as_f64().unwrap();
    let mse = metrics["reconstruction_mse"].as_f64().unwrap();
    let gaussian = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * mse).log2();
    assert!((of("residual_bits_per_dim") - gaussian).abs() < 1e-9, "{mse}");
    let tokens = metrics["levels"][0]["prior_bits_per_dim"].as_f64().unwrap();
    assert!((of("prior_bits_per_dim") - tokens).abs() < 1e-12);
    assert!((of("total_bits_per_dim") - tokens - gaussian).abs() < 1e-9);
}

/// A rate that rises until validation is, with most seeds, worse than before.
const RISING: &str = "prior.0.train.schedule={type=\"warmup-cosine\",warmup_steps=39,start=1.0,peak=300.0}";

/// The step whose validation is the best, by the log.
fn best_step(run: &Path) -> u64 {
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let validated =
        lines.filter_map(|line| Some((line["validation_bits_per_token"].as_f64()?, line["step"].as_u64()?)));
    validated.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap().1
}

#[test]
fn a_recipe_chooses_between_the_best_checkpoint_and_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), SMALL);
    let train = |name: String, seed: u64, select: &str| {
        let run = folder.path().join(name);
        let [seed, select] = [format!("seed={seed}"), format!("prior.0.train.select={select}")];
        let set = [RISING, "prior.0.train.validate_every=10", &seed, &select];
        let set: Vec<&str> = set.into_iter().flat_map(|assignment| ["--set", assignment]).collect();
        succeed(&[&["train", &recipe, "--run", text(&run)], &set[..]].concat());
        let record: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
        let stages = record["stages"].as_array().unwrap();
        let prior = stages.iter().find(|stage| stage["name"] == "prior/0").unwrap();
        (prior["done"]["path"].as_str().unwrap().to_owned(), best_step(&run))
    };
    let seed = (0..8).find(|seed| {
        let (used, best) = train(format!("best-{seed}"), *seed, "best");
        assert_eq!(used, format!("prior/0/checkpoint-{best:07}"));
        best < 40
    });
    let (used, best) = train("last".into(), seed.expect("a seed whose best checkpoint is not the last"), "last");
    assert!(best < 40 && used == "prior/0/checkpoint-0000040", "{used}, best {best}");
}
