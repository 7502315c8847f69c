//! Awkward and broken files, as their own manifest says what a good program does with them.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vqkit_data::{DataConfig, DataError, Dataset, Picture, decode};

#[derive(Deserialize)]
struct Manifest {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    kind: String,
    expect: String,
    width: Option<u32>,
    height: Option<u32>,
    #[serde(default)]
    pixels: Vec<[u32; 5]>,
    #[serde(default)]
    tolerance: u32,
    usable_samples: Option<usize>,
    total_samples: Option<usize>,
    labels: Option<Vec<u32>>,
    must_not_exist: Option<PathBuf>,
}

fn folder() -> Option<PathBuf> {
    let data = std::env::var_os("VQKIT_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let folder = data.join("bad");
    let there = folder.join("MANIFEST.toml").is_file();
    if !there {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let at = folder.display();
        // Past the capture of the test harness, which shows nothing that a passing test prints by macro.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: there is no {at}/MANIFEST.toml (VQKIT_DATA says where)");
    }
    there.then_some(folder)
}

fn cases(folder: &Path, kind: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join("MANIFEST.toml")).unwrap();
    let manifest: Manifest = toml::from_str(&text).unwrap();
    let cases: Vec<Case> = manifest.case.into_iter().filter(|case| case.kind == kind).collect();
    assert!(!cases.is_empty(), "the manifest has no case of kind {kind}");
    cases
}

#[test]
fn images_are_read_or_refused_as_the_manifest_says() {
    let Some(folder) = folder() else { return };
    for case in cases(&folder, "image") {
        let outcome = decode(&std::fs::read(folder.join(&case.file)).unwrap(), &case.file);
        match (case.expect.as_str(), outcome) {
            ("read", Ok(picture)) => compare(&case, &picture),
            ("reject", Err(error)) => expect_reason(&case.file, &error),
            (expect, outcome) => panic!("{}: {expect} expected, got {outcome:?}", case.file),
        }
    }
}

fn compare(case: &Case, picture: &Picture) {
    assert_eq!((Some(picture.width()), Some(picture.height())), (case.width, case.height), "{}", case.file);
    for &[x, y, red, green, blue] in &case.pixels {
        let found = picture.rgb(x, y).map(u32::from);
        let close = found.iter().zip([red, green, blue]).all(|(a, b)| a.abs_diff(b) <= case.tolerance);
        assert!(close, "{} at {x},{y}: {found:?}, want {red} {green} {blue}", case.file);
    }
}

/// Every refusal names its file and says why, in words that belong to the case.
fn expect_reason(file: &str, error: &DataError) {
    let message = error.to_string();
    let word = match file {
        "truncated.jpg" => "truncated",
        "zero-byte.png" => "empty",
        "text-renamed.png" => "not an image",
        "huge-declared.png" => "60000x60000",
        _ => "",
    };
    assert!(message.contains(file) && message.contains(word), "{message}");
}

fn open(folder: &Path, file: &str, on_error: &str, require_class: bool) -> Result<Dataset, DataError> {
    let recipe = format!(
        "image_size = 16\non_error = '{on_error}'\nmax_error_rate = 0.5\nrequire_class = {require_class}\n\
         root = {:?}\n[source]\ntype = 'tar'\ntrain = {file:?}",
        folder.display().to_string(),
    );
    toml::from_str::<DataConfig>(&recipe).unwrap().open()
}

#[test]
fn archives_are_read_or_refused_as_the_manifest_says() {
    let Some(folder) = folder() else { return };
    for case in cases(&folder, "tar") {
        let strict = open(&folder, &case.file, "fail", true);
        let skipping = open(&folder, &case.file, "skip", true);
        match case.expect.as_str() {
            "read" => expect_samples(&case, &strict.unwrap(), case.usable_samples),
            "reject" => {
                expect_reason(&case.file, &strict.err().unwrap());
                expect_reason(&case.file, &skipping.err().unwrap());
            }
            _ => {
                expect_reason(&case.file, &strict.err().unwrap());
                let data = skipping.unwrap();
                assert_eq!(data.train.rejected().len(), 1, "{}: {:?}", case.file, data.train.rejected());
                expect_samples(&case, &data, case.usable_samples);
            }
        }
        if let Some(path) = &case.must_not_exist {
            assert!(!folder.join(path).exists() && !path.exists(), "{}: {} exists", case.file, path.display());
        }
    }
}

fn expect_samples(case: &Case, data: &Dataset, count: Option<usize>) {
    assert_eq!(Some(data.train.len()), count, "{}", case.file);
    let samples: Vec<_> = (0..data.train.len()).map(|i| data.train.get(i).unwrap()).collect();
    if let Some(labels) = &case.labels {
        let found: Vec<u32> = samples.iter().filter_map(|sample| sample.class).collect();
        assert_eq!(&found, labels, "{}", case.file);
    }
}

#[test]
fn an_image_without_label_serves_where_no_class_is_asked_for() {
    let Some(folder) = folder() else { return };
    let case = cases(&folder, "tar").into_iter().find(|case| case.file == "missing-label.tar").unwrap();
    let data = open(&folder, &case.file, "fail", false).unwrap();
    expect_samples(&case, &data, case.total_samples);
    let error = open(&folder, &case.file, "fail", true).err().unwrap().to_string();
    assert!(error.contains("s002") && error.contains("no class label"), "{error}");
}

#[test]
fn a_bad_member_is_named_and_a_truncation_is_placed() {
    let Some(folder) = folder() else { return };
    for (file, parts) in [
        ("truncated.tar", ["is truncated", "s003.jpg"]),
        ("traversal.tar", ["../evil.txt", "climbs out"]),
        ("empty-member.tar", ["s001.jpg", "is empty"]),
    ] {
        let error = open(&folder, file, "fail", false).err().unwrap().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}
