//! How pictures are drawn: guidance, best of several, larger pictures, and what the report says of many.

use std::{fs, path::Path};

use serde_json::Value;

use crate::vqkit::{SMALL, fail, log_likelihoods, shared_run, succeed, text, train};

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("samples.json")).unwrap()).unwrap()
}

/// The pictures of a folder, in order.
fn pictures(folder: &Path) -> Vec<Vec<u8>> {
    let count = record(folder)["samples"].as_array().unwrap().len();
    (0..count).map(|index| fs::read(folder.join(format!("{index:06}.png"))).unwrap()).collect()
}

/// Width and height, from the header of a PNG file.
fn size(picture: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn the_best_of_several_is_likelier_and_everything_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |out: &str, extra: &[&str]| {
        let out = folder.path().join(out);
        succeed(&[&["sample", text(shared_run()), "-n", "4", "-o", text(&out)], extra].concat());
        out
    };
    let filters = ["--min-p", "0.01", "--no-repeat-ngram", "30"];
    let plain = sample("plain", &filters);
    let best = sample("best", &[&filters[..], &["--best-of", "4", "--batch-size", "3"]].concat());
    let pairs = log_likelihoods(&plain).into_iter().zip(log_likelihoods(&best));
    assert!(pairs.clone().all(|(plain, best)| best >= plain) && pairs.clone().any(|(plain, best)| best > plain));
    let record = record(&best);
    let sampling = &record["sampling"];
    assert_eq!((&sampling["best_of"], &sampling["min_p"]), (&4.into(), &0.01.into()));
    assert_eq!((&sampling["no_repeat_ngram"], &sampling["cfg_schedule"]), (&30.into(), &"constant".into()));
    assert_eq!((&record["batch_size"], &record["weight_dtype"]), (&3.into(), &"fp32".into()));
    assert_eq!((&record["size"], &record["device"]), (&serde_json::json!([24, 24]), &"cpu".into()));
    assert_eq!(
        pictures(&plain),
        pictures(&sample("apart", &[&filters[..], &["--batch-size", "1"]].concat())),
        "pictures do not depend on the batch"
    );
}

#[test]
fn pictures_may_be_larger_than_those_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let sample = |out: &str, extra: &[&str]| {
        let out = folder.path().join(out);
        succeed(&[&["sample", text(shared_run()), "-n", "2", "-o", text(&out)], extra].concat());
        out
    };
    let wide = sample("wide", &["--size", "32x48"]);
    assert!(pictures(&wide).iter().all(|picture| size(picture) == (48, 32)));
    assert_eq!(record(&wide)["size"], serde_json::json!([32, 48]));
    assert_eq!(record(&wide)["sampling"]["size"], serde_json::json!([8, 12]));
    assert_eq!(pictures(&sample("same", &["--size", "24x24"])), pictures(&sample("plain", &[])));
}

#[test]
fn a_wrong_value_names_its_flag_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (extra, words) in [
        (&["--min-p", "2"][..], &["--min-p", "[0, 1]", "2"][..]),
        (&["--top-k", "0"], &["--top-k", "at least 1"]),
        (&["--top-p", "-1"], &["--top-p", "(0, 1]"]),
        (&["--cfg", "-1"], &["--cfg", "-1"]),
        (&["--cfg", "2"], &["--cfg", "class_dropout"]),
        (&["--cfg-schedule", "square"], &["--cfg-schedule", "cosine", "first=N"]),
        (&["--best-of", "0"], &["--best-of", "at least 1"]),
        (&["--best-of", "2", "--temperature", "0"], &["--best-of", "greedy"]),
        (&["--no-repeat-ngram", "0"], &["--no-repeat-ngram", "at least 1"]),
        (&["--size", "24"], &["--size", "64x128"]),
        (&["--size", "20x24"], &["--size", "24 x 24", "20 x 24"]),
        (&["--size", "24x30"], &["--size", "multiples", "4", "24 x 30"]),
        (&["--weight-dtype", "fp8"], &["--weight-dtype", "fp32, bf16 or int8"]),
        (&["--weight-dtype", "int8"], &["--weight-dtype", "int8", "fp32"]),
        (&["--batch-size", "0"], &["--batch-size", "at least 1"]),
    ] {
        let message = fail(&[&["sample", text(shared_run()), "-o", text(&out)], extra].concat(), &[2]);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{extra:?} left something");
    }
}

/// A prior with a null class, and enough pictures for the report to look at them as a set.
#[test]
fn many_pictures_are_compared_with_validation_images() {
    let folder = tempfile::tempdir().unwrap();
    let guided = SMALL.replace("num_layers = 3", "num_layers = 3\nclass_dropout = 0.2");
    let many = ["data.source.validation_count=1000", "sample.count=1001", "sample.batch_size=500"];
    let run = train(folder.path(), &guided, &many.map(|set| ["--set", set]).concat());
    let metrics: Value = serde_json::from_slice(&fs::read(run.join("report/metrics.json")).unwrap()).unwrap();
    let set = &metrics["samples_as_set"];
    assert_eq!((&set["samples"], &set["validation_images"]), (&1001.into(), &1000.into()));
    assert!(set["metrics"]["fd_vgg_cifar10"].as_f64().unwrap() > 0.0);
    assert!(
        set["metrics"]["kid_vgg_cifar10"].as_f64().unwrap() > set["metrics"]["kid_std_vgg_cifar10"].as_f64().unwrap()
    );
    assert!(metrics["warnings"].to_string().contains("1001 samples are few"), "{metrics}");
    assert!(fs::read_to_string(run.join("report/report.html")).unwrap().contains("1001 samples against 1000"));
    assert!(run.join("samples/001000.png").is_file());
    // Ten cells of 24 pixels and the gaps, enlarged.
    assert_eq!(size(&fs::read(run.join("samples/overview/grid.png")).unwrap()), (4 * 262, 4 * 262));

    let sample = |out: &str, extra: &[&str]| {
        let out = folder.path().join(out);
        succeed(&[&["sample", text(&run), "-n", "2", "-o", text(&out)], extra].concat());
        (pictures(&out), log_likelihoods(&out))
    };
    let plain = sample("plain", &[]);
    let guided = sample("guided", &["--cfg", "4", "--cfg-schedule", "linear"]);
    assert_ne!(plain.1, guided.1);
    assert_eq!(plain, sample("unguided", &["--cfg", "4", "--cfg-schedule", "first=0"]));
}
