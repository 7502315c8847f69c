//! What a recipe would build, and what trained priors take.

use std::fs;

use serde_json::Value;

use crate::vqkit::{SMALL, fail, recipe, shared_run, succeed, text, weights};

#[test]
fn a_recipe_s_prior_is_counted_without_being_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), SMALL);
    let said = succeed(&["inspect", &path]);
    for named in ["prior/0: pixelcnn", "36 tokens per image", "FLOP", "note: ", "condition.num_classes"] {
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
    let said = succeed(&["inspect", text(shared_run())]);
    assert!(said.contains("prior/0: pixelcnn") && said.contains("144 bits per image, 0.2500 per pixel"), "{said}");
    assert_eq!(found["tokenizers"][0]["compression"], 24.0 * 24.0 * 24.0 / 144.0);
    let tokens = shared_run().join("tokens/train-00000.safetensors");
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(&tokens), "--json"])).unwrap();
    assert_eq!(found["bits_per_image"][0], 144.0);
    assert!(found["bits_per_image"][1].as_f64().unwrap() <= 144.0);
}

#[test]
fn a_folder_of_images_says_what_it_holds_and_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for class in ["cat", "dog"] {
        fs::create_dir(at(class)).unwrap();
    }
    image::RgbImage::from_pixel(8, 6, image::Rgb([90, 90, 90])).save(at("cat/a.png")).unwrap();
    image::RgbImage::from_pixel(20, 10, image::Rgb([30, 30, 30])).save(at("dog/b.jpg")).unwrap();
    image::GrayImage::from_pixel(9, 9, image::Luma([60])).save(at("dog/c.png")).unwrap();
    fs::write(at("dog/d.png"), b"no picture").unwrap();
    let said = succeed(&["inspect", text(folder.path())]);
    for words in
        ["4 images, 2 classes, without captions", "sizes 8x6 to 20x10, median 9x9", "1 items cannot be used", "d.png"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(folder.path()), "--json"])).unwrap();
    assert_eq!(found["type"], "data");
    assert_eq!(
        (&found["of_encoding"]["PNG"], &found["of_encoding"]["JPEG"], &found["gray"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(found["of_class"], serde_json::json!({"cat": 1, "dog": 2}));
    assert!((found["mean"].as_f64().unwrap() - 60.0).abs() < 1.0, "{found}");
    let nothing = tempfile::tempdir().unwrap();
    assert!(fail(&["inspect", text(nothing.path())], &[1]).contains("nor images"));
    assert!(fail(&["inspect", text(folder.path()), "-o", text(&at("out"))], &[2]).contains("--out"));
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
