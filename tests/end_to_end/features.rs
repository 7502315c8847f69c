//! A recipe that trains its own perceptual network first.

use std::{fs, path::Path};

use crate::{
    processes::{kill, start, wait_for},
    vqkit::{ADVERSARIAL, assert_same, fail, recipe, shared_run, succeed, text, train, weights},
};

const FEATURES: &str = r#"
[features]
widths = [8, 12]
convolutions = 1
shift = 1
label_smoothing = 0.1
[features.train]
steps = 30
batch_size = 16
optimizer = "muon"
learning_rate = 3e-3
ema_decay = 0.9
log_every = 10
validate_every = 15
checkpoint_every = 5
"#;

fn with_features() -> String {
    format!(
        "{}{FEATURES}",
        ADVERSARIAL.replace("weights = \"cifar10\"", "weights = \"run\"").replace("steps = 24", "steps = 8")
    )
}

fn metadata(path: &Path) -> std::collections::HashMap<String, String> {
    let bytes = fs::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    header.metadata().clone().unwrap()
}

#[test]
fn a_run_trains_the_network_that_judges_it_and_resumes_exactly() {
    let (alone, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text_of_recipe = with_features();
    let whole = train(alone.path(), &text_of_recipe, &[]);
    let backbone = whole.join("features/backbone.safetensors");
    let said = metadata(&backbone);
    for (key, value) in
        [("kind", "small-vgg"), ("recipe", "adversarial"), ("image_size", "24"), ("validation_images", "16")]
    {
        assert_eq!(said[key], value, "{key}");
    }
    let classes = said["classes"].split(',').count() as i64;
    assert!(said["classes"].contains("circle"), "{said:?}");
    let right: f64 = said["validation_accuracy_percent"].parse().unwrap();
    assert!((0.0..=100.0).contains(&right));
    let tensors = weights(&backbone);
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let layers = ["stages.0.0.bias", "stages.0.0.weight", "stages.1.0.bias", "stages.1.0.weight"];
    assert_eq!(names, [["classifier.bias", "classifier.weight"].as_slice(), &layers].concat());
    assert_eq!(tensors["classifier.weight"].size(), [classes, 12]);
    let log = fs::read_to_string(whole.join("log.jsonl")).unwrap();
    assert!(log.contains("\"accuracy_percent\"") && log.contains("\"perceptual\""), "{log}");
    let curves = fs::read_to_string(whole.join("curves.csv")).unwrap();
    assert!(curves.contains("\nfeatures,accuracy_percent,") && curves.contains("\ntokenizer,perceptual,"), "{curves}");

    let (recipe, run) = (recipe(cut.path(), &text_of_recipe), cut.path().join("run"));
    for moment in ["features/checkpoint-0000010", "features/backbone.safetensors", "tokenizer/checkpoint-0000004"] {
        let mut child = start(&recipe, &run, &[]);
        wait_for(&run.join(moment), &mut child);
        kill(child);
    }
    crate::vqkit::succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    assert_same(&whole, &run);
}

#[test]
fn the_runs_own_network_is_another_judge_than_the_one_that_ships() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let own = with_features();
    let shipped = own.replace("weights = \"run\"", "weights = \"cifar10\"");
    let [own, shipped] = [(&folders[0], own), (&folders[1], shipped)].map(|(folder, recipe)| {
        let run =
            train(folder.path(), &recipe, &["--set", "features.train.steps=5", "--set", "tokenizer.train.steps=4"]);
        assert!(run.join("report/metrics.json").is_file());
        let model = weights(&run.join("tokenizer/last/model.safetensors"));
        (weights(&run.join("features/backbone.safetensors")), model)
    });
    assert!(own.0 == shipped.0, "the same network is trained");
    assert!(own.1 != shipped.1, "and only one tokenizer heeds it");
}

#[test]
fn a_classifier_of_ones_own_measures_two_sets_and_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(folder.path(), &with_features(), &["--stage", "features"]);
    let drawn = |name: &str, condition: &[&str]| {
        let out = folder.path().join(name);
        succeed(&[&["sample", text(shared_run()), "-n", "40", "-o", text(&out)], condition].concat());
        out
    };
    let (classes, circles) = (drawn("classes", &[]), drawn("circles", &["--class", "circle"]));
    let call = ["evaluate", "--real", text(&classes), "--fake", text(&circles), "--features", "classifier", "--json"];
    let measured = |weights: &Path| -> serde_json::Value {
        serde_json::from_str(&succeed(&[&call[..], &["--weights", text(weights)]].concat())).unwrap()
    };
    let found = measured(&run);
    assert_eq!(found["metrics"], measured(&run.join("features/backbone.safetensors"))["metrics"]);
    assert!(found["metrics"]["fd_classifier"].as_f64().unwrap() >= 0.0, "{found}");
    let right = found["metrics"]["class_accuracy_percent"].as_f64().unwrap() * 40.0 / 100.0;
    assert!((right - right.round()).abs() < 1e-6 && (0.0..=40.0).contains(&right), "{found}");
    assert!(fail(&call, &[2]).contains("--weights"));
    fail(&[&call[..], &["--weights", text(&classes)]].concat(), &[1]);
}
