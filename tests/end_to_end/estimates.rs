//! What a recipe takes, and recipes for folders of images.

use std::{fs, path::Path};

use serde_json::Value;

use crate::vqkit::{ADVERSARIAL, SMALL, fail, recipe, succeed, text};

fn estimated(folder: &Path, of: &str) -> Value {
    let path = recipe(folder, of);
    serde_json::from_str(&succeed(&["estimate", &path, "--seconds", "1", "--json"])).unwrap()
}

#[test]
fn every_stage_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let found = estimated(folder.path(), SMALL);
    let stages = found["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tokenizer", "tokens", "prior/0", "samples", "report"]);
    assert_eq!((&stages[0]["steps"], &stages[2]["steps"]), (&40.into(), &40.into()));
    assert!(stages.iter().all(|stage| stage["seconds"].as_f64().unwrap() > 0.0), "{found}");
    let sum: f64 = stages.iter().map(|stage| stage["seconds"].as_f64().unwrap()).sum();
    assert!((found["seconds"].as_f64().unwrap() - sum).abs() < 1e-9);
    for key in ["memory_bytes", "disk_bytes"] {
        assert!(found[key].as_u64().unwrap() > 0, "{key}: {found}");
    }
    assert!(!folder.path().join("run").exists());
}

#[test]
fn more_steps_take_longer_and_a_late_discriminator_is_measured_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), ADVERSARIAL);
    let estimate = |steps: &str| -> f64 {
        let set = format!("tokenizer.train.steps={steps}");
        let found = succeed(&["estimate", &path, "--seconds", "1", "--json", "--set", &set]);
        serde_json::from_str::<Value>(&found).unwrap()["stages"][0]["seconds"].as_f64().unwrap()
    };
    assert!(estimate("40000") > 10.0 * estimate("400"));
}

/// A folder of pictures: what the small recipe samples, by class.
fn pictures(folder: &Path) -> std::path::PathBuf {
    let photographs = folder.join("photographs");
    for (class, seed) in [("one", 1_u8), ("two", 2)] {
        fs::create_dir_all(photographs.join(class)).unwrap();
        for index in 0..40_u8 {
            let pixel = |place: u32| u8::try_from((place * u32::from(seed) + u32::from(index) * 5) % 256).unwrap();
            let pixels: Vec<u8> = (0..40 * 36 * 3).map(pixel).collect();
            let image = image::RgbImage::from_raw(40, 36, pixels).unwrap();
            image.save(photographs.join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    photographs
}

#[test]
fn a_recipe_for_a_folder_fits_its_images_and_trains() {
    let folder = tempfile::tempdir().unwrap();
    let photographs = pictures(folder.path());
    let path = folder.path().join("my.toml");
    let said = succeed(&["new", text(&photographs), "-o", text(&path), "--hours", "0.05", "--seconds", "1"]);
    assert!(said.contains("80 images are few") && said.contains("vqkit train"), "{said}");
    let written = fs::read_to_string(&path).unwrap();
    for part in ["name = \"my\"", "image_size = 32", "class = true", "[[prior]]", "# What to expect"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    let set = ["tokenizer.train.steps=4", "prior.0.train.steps=4", "sample.count=4"];
    let set: Vec<&str> = set.iter().flat_map(|assignment| ["--set", assignment]).collect();
    let still = ["tokenizer.train.schedule={type=\"constant\"}", "prior.0.train.schedule={type=\"constant\"}"];
    let still: Vec<&str> = still.iter().flat_map(|assignment| ["--set", assignment]).collect();
    let run = folder.path().join("run");
    succeed(&[&["train", text(&path), "--run", text(&run)], &set[..], &still[..]].concat());
    assert!(run.join("report/report.html").is_file());
    assert!(fail(&["new", text(&photographs), "-o", text(&path)], &[2]).contains("exists"));
}

#[test]
fn captions_beside_images_become_a_condition() {
    let folder = tempfile::tempdir().unwrap();
    let photographs = pictures(folder.path());
    let path = folder.path().join("captions.toml");
    let caption = |class: &str, index: usize| {
        fs::write(photographs.join(class).join(format!("{index}.txt")), format!("number {index}, {class}")).unwrap();
    };
    caption("one", 0);
    succeed(&["new", text(&photographs), "-o", text(&path), "--hours", "0.05", "--seconds", "1"]);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("1 of 80 images") && !written.contains("text = {"), "{written}");
    fs::remove_file(&path).unwrap();
    ["one", "two"].iter().for_each(|class| (0..40).for_each(|index| caption(class, index)));
    succeed(&["new", text(&photographs), "-o", text(&path), "--hours", "0.05", "--seconds", "1"]);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("text = {") && !written.contains("flip = true"), "{written}");
}

#[test]
fn hours_and_folders_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let none = folder.path().join("none");
    assert!(fail(&["new", text(&none), "-o", text(&path)], &[1, 2]).contains("none"));
    let photographs = pictures(folder.path());
    assert!(fail(&["new", text(&photographs), "-o", text(&path), "--hours", "-1"], &[2]).contains("--hours"));
    assert!(!path.exists());
}

#[test]
fn what_lies_beside_good_images_does_not_stop_a_newcomer() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let new = |images: &Path, out: &str| {
        let said = succeed(&["new", text(images), "-o", text(&at(out)), "--hours", "0.05", "--seconds", "1"]);
        (said, fs::read_to_string(at(out)).unwrap())
    };
    // Files that cannot be read, and a path that looks like a comment.
    let photographs = at("summer  # 1\n");
    fs::rename(pictures(folder.path()), &photographs).unwrap();
    ["one/bad.png", "two/phone.heic"].iter().for_each(|name| fs::write(photographs.join(name), "bad").unwrap());
    let (said, written) = new(&photographs, "my photos.toml");
    assert!(said.contains("About 2.4 % of the images cannot be used") && said.contains("my photos.toml'"), "{said}");
    for part in ["#   vqkit train 'my photos.toml'", "name = \"my-photos\"", "2 classes: one, two"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    // Classes of some images only.
    let images = at("split/train");
    fs::create_dir(at("split")).unwrap();
    fs::rename(&photographs, &images).unwrap();
    let line = |index: usize, class: &str| format!("{},{class}\n", images.join(format!("one/{index}.png")).display());
    let manifest = |name: &str, class: &dyn Fn(usize) -> String| {
        let rows: String = (0..40).map(|index| line(index, &class(index))).collect();
        fs::write(at(name), "image,class\n".to_owned() + &rows).unwrap();
    };
    manifest("some.CSV", &|index| ["a", "", "b", ""][index % 4].to_owned());
    let (said, written) = new(&at("some.CSV"), "some.toml");
    assert!(said.contains("the recipe uses classes only where every image has one"), "{said}");
    assert!(!written.contains("class = true"), "{written}");
    assert!(succeed(&["inspect", text(&at("some.CSV"))]).contains("40 images, 2 classes"));
    assert!(succeed(&["inspect", text(&images.join("two/3.png"))]).contains("1 images"));
    // Numbers that are no classes.
    manifest("rows.csv", &|index| index.to_string());
    assert!(!new(&at("rows.csv"), "rows.toml").1.contains("class = true"));
    // Validation images without the classes of the others.
    fs::create_dir(at("split/test")).unwrap();
    fs::copy(images.join("one/1.png"), at("split/test/1.png")).unwrap();
    let (said, written) = new(&at("split"), "split.toml");
    assert!(said.contains("The images of `test` have other classes or captions"), "{said}");
    assert!(written.contains("2 classes: one, two") && written.contains("validation = 0.100"), "{written}");
    // A folder of broken images, and one for the recipe that is not there.
    fs::create_dir(at("broken")).unwrap();
    (0..9).for_each(|index| fs::write(at("broken").join(format!("{index}.png")), "bad").unwrap());
    let message = fail(&["new", text(&at("broken")), "-o", text(&at("none.toml"))], &[2]);
    assert!(message.contains("100 % of the images cannot be used; the first"), "{message}");
    let message = fail(&["new", text(&images), "-o", text(&at("gone/none.toml"))], &[2]);
    assert!(message.contains("there is no folder"), "{message}");
}
