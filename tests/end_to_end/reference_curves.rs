//! Reference curves: a run's own can be those of its recipe, and another course of training is named.

use std::fs;

use crate::vqkit::{SMALL, recipe, run, stderr, succeed, text};

#[test]
fn the_curves_of_a_run_become_the_reference_of_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let (path, place) = (recipe(folder.path(), SMALL), |name: &str| folder.path().join(name));
    succeed(&["train", &path, "--run", text(&place("first"))]);
    assert!(!place("first/reference.csv").exists());
    let curves = fs::read_to_string(place("first/curves.csv")).unwrap();
    assert!(curves.starts_with("stage,metric,step,value,low,high\n"), "{curves}");
    fs::create_dir(place("curves")).unwrap();
    let name = fs::canonicalize(&path).unwrap().with_extension("csv");
    fs::write(place("curves").join(name.file_name().unwrap()), &curves).unwrap();

    // The same training in all but its name.
    let same = run(&["train", &path, "--run", text(&place("same")), "--set", "name=same"]);
    assert!(same.status.success() && !stderr(&same).contains("reference curve"), "{}", stderr(&same));
    assert!(place("same/reference/events.out.tfevents.0.vqkit").is_file());
    let [first, same] = ["first", "same"].map(|run| fs::read_to_string(place(run).join("report/report.html")).unwrap());
    assert!(same.matches("<polygon").count() > first.matches("<polygon").count(), "the report draws the bands");

    let tokenizer = |run_name: &str, overrides: &[&str]| {
        let folder = place(run_name);
        let call = ["train", &path, "--run", text(&folder), "--stage", "tokenizer"];
        stderr(&run(&[&call[..], overrides].concat()))
    };
    let slower = SMALL.replacen("learning_rate = 1e-3", "learning_rate = 1e-9", 1);
    fs::write(&path, &slower).unwrap();
    let said = tokenizer("slower", &[]);
    assert!(said.contains("reconstruction is") && said.contains("above the reference curve"), "{said}");
    assert!(!tokenizer("overridden", &["--set", "tokenizer.train.log_every=4"]).contains("reference curve"));
}
