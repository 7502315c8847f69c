//! What a recipe would build, and what trained priors take.

use serde_json::Value;

use crate::vqkit::{SMALL, fail, recipe, shared_run, succeed, text, weights};

#[test]
fn a_recipe_s_prior_is_counted_without_being_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), SMALL);
    let said = succeed(&["inspect", &path]);
    for named in ["prior/0: pixelcnn", "36 tokens an image", "FLOP", "note: ", "condition.num_classes"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let known = recipe(folder.path(), &SMALL.replace("class = true", "class = true\nnum_classes = 6"));
    let plan: Value = serde_json::from_str(&succeed(&["inspect", &known, "--json"])).unwrap();
    assert_eq!(plan["notes"], serde_json::json!([]));
    assert_eq!(plan["tokenizer"]["grids"], serde_json::json!([[6, 6]]));
    let prior = &plan["priors"][0];
    let parameters = prior["cost"]["parameters"].as_i64().unwrap();
    assert_eq!(prior["bytes"]["weights_fp32"], 4 * parameters);
    assert_eq!(prior["training_flops_per_token"], 3 * prior["cost"]["forward_flops_per_token"].as_i64().unwrap());
}

#[test]
fn a_run_lists_what_its_priors_take() {
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(shared_run()), "--json"])).unwrap();
    let weights = weights(&shared_run().join("prior/0/last/model.safetensors"));
    let held: usize = weights.values().map(tch::Tensor::numel).sum();
    assert_eq!(found["priors"][0]["cost"]["parameters"], held);
    assert!(succeed(&["inspect", text(shared_run())]).contains("prior/0: pixelcnn"));
}

#[test]
fn a_prior_of_billions_of_parameters_is_checked_in_no_time_and_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let huge = SMALL.replace("dim = 8\nnum_layers = 3", "dim = 8192\nnum_layers = 60");
    assert_ne!(huge, SMALL);
    let path = recipe(folder.path(), &huge);
    let plan: Value = serde_json::from_str(&succeed(&["inspect", &path, "--json"])).unwrap();
    assert!(plan["priors"][0]["cost"]["parameters"].as_i64().unwrap() > 10_i64.pow(10));
    assert!(fail(&["inspect", &path, "-o", text(&folder.path().join("out"))], &[2]).contains("--out"));
}
