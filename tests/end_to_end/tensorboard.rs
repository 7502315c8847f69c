//! The event files of a run, read with TensorBoard itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use vqkit_testing::needed_in_ci;

use crate::vqkit::{shared_run, text};

/// Prints every tag: the steps and values of scalars, the steps, sizes and first bytes of images.
const READ: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, IMAGES, SCALARS
events = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0, IMAGES: 0})
events.Reload()
tags = events.Tags()
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "images": {
        tag: [[e.step, e.width, e.height, e.encoded_image_string[:8].hex()] for e in events.Images(tag)]
        for tag in tags["images"]
    },
}))
"#;

#[test]
fn tensorboard_reads_every_curve_and_picture() {
    let named = std::env::var_os("VQKIT_TEST_PYTHON");
    let what = "Python with tensorboard that VQKIT_TEST_PYTHON names; `cargo xtask test` makes one";
    let Some(python) = needed_in_ci(named, what) else { return };
    let run = shared_run();
    let output = Command::new(python).args(["-c", READ, text(run)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();

    let logged = logged(run);
    let scalars = read["scalars"].as_object().unwrap();
    assert_eq!(scalars.keys().collect::<BTreeSet<_>>(), logged.keys().collect::<BTreeSet<_>>());
    for (tag, points) in &logged {
        let read: Vec<(u64, f64)> = serde_json::from_value(scalars[tag].clone()).unwrap();
        assert_eq!(read.len(), points.len(), "{tag}");
        for ((step, value), (logged_step, logged_value)) in read.iter().zip(points) {
            assert_eq!(step, logged_step, "{tag}");
            assert!((value - logged_value).abs() <= 1e-6 * logged_value.abs().max(1e-3), "{tag}, step {step}");
        }
    }

    let images = read["images"].as_object().unwrap();
    for tag in ["tokenizer/reconstructions", "samples/grid", "report/reconstructions"] {
        let shown = images.get(tag).and_then(Value::as_array).unwrap_or_else(|| panic!("no `{tag}` in {images:?}"));
        for image in shown {
            assert!(image[1].as_u64().unwrap() > 0 && image[2].as_u64().unwrap() > 0, "{tag}: {image}");
            assert_eq!(image[3], "89504e470d0a1a0a", "{tag} is a PNG");
        }
    }
}

/// Every metric of `log.jsonl` as TensorBoard should have it: by tag, steps and values; metrics that are not finite are `null` there.
fn logged(run: &Path) -> BTreeMap<String, Vec<(u64, f64)>> {
    let mut logged: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for line in fs::read_to_string(run.join("log.jsonl")).unwrap().lines() {
        let line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let (stage, step) = (line["stage"].as_str().unwrap(), line["step"].as_u64().unwrap());
        for (name, value) in &line {
            if let (Some(value), false) = (value.as_f64(), ["step", "seconds"].contains(&name.as_str())) {
                logged.entry(format!("{stage}/{name}")).or_default().push((step, value));
            }
        }
    }
    logged
}
