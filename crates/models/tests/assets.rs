//! The networks that come with vqkit: what their headers say, and how large they are.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use tch::Tensor;
use vqkit_recipe::Recipe;
use vqkit_torch::weights;

const MOST_BYTES: u64 = 1_500_000;

struct Asset {
    name: &'static str,
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Tensor>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assets() -> [Asset; 2] {
    ["features-cifar10", "evaluation-cifar10"].map(|name| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("assets/{name}.safetensors"));
        let (metadata, tensors) = (weights::metadata(&path).unwrap(), weights::read(&path).unwrap());
        Asset { name, path, metadata, tensors }
    })
}

fn widths(asset: &Asset) -> Vec<i64> {
    (0..).map_while(|stage| Some(asset.tensors.get(&format!("stages.{stage}.0.bias"))?.size()[0])).collect()
}

#[test]
fn each_is_small_and_of_the_recipe_that_it_names() {
    for asset in assets() {
        let bytes = fs::metadata(&asset.path).unwrap().len();
        assert!(bytes <= MOST_BYTES, "{}: {bytes} bytes", asset.name);
        assert_eq!(asset.metadata["recipe"], asset.name);
        assert_eq!(asset.metadata["validation_images"], "10000");
        let recipe = Recipe::read(&root().join(format!("configs/{}.toml", asset.name)), &[]).unwrap();
        assert_eq!(widths(&asset), recipe.features().unwrap().network.widths, "{}", asset.name);
    }
}

#[test]
fn the_perceptual_network_is_right_often_enough() {
    let [features, _] = assets();
    let percent: f64 = features.metadata["validation_accuracy_percent"].parse().unwrap();
    assert!((88.0..100.0).contains(&percent), "{percent}");
}

#[test]
fn the_judge_is_another_network() {
    let [features, evaluation] = assets();
    assert_ne!(widths(&features), widths(&evaluation));
    assert_eq!(features.metadata["classes"], evaluation.metadata["classes"]);
}
