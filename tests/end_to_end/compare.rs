//! Trained tokenizers on the same images: what `vqkit compare` measures, prints and writes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use image::{Rgb, RgbImage};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    sets::inception_weights,
    vqkit::{SMALL, fail, succeed, text, train},
};

/// A tokenizer of 32 pixels with two levels of 8 codes, which takes sizes that 8 divides.
const OTHER: [(&str, &str); 4] = [
    ("name = \"small\"", "name = \"other\""),
    ("image_size = 24", "image_size = 32\non_error = \"skip\"\nmax_error_rate = 0.5"),
    (
        "type = \"vqvae\"\nchannels = 8\nresidual_blocks = 1\nresidual_channels = 8\ndownsampling = 4\nnorm = \"batch\"",
        "type = \"vqvae2\"\nchannels = 8\nresidual_blocks = 1\nresidual_channels = 8\nembed_dim = 8",
    ),
    ("codebook_size = 16", "codebook_size = 8"),
];

/// Two trained tokenizers that tests share; they only read them. They compute in fp32, as `vqkit reconstruct` always does.
fn runs() -> [&'static Path; 2] {
    static RUNS: OnceLock<(TempDir, [PathBuf; 2])> = OnceLock::new();
    let (_, runs) = RUNS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = SMALL.split("[condition]").next().unwrap();
        let small = tokenizer.replace("seed = 7", "seed = 7\nprecision = \"fp32\"");
        let other = OTHER.iter().fold(small.clone(), |recipe, (from, to)| {
            assert!(recipe.contains(from), "{from}");
            recipe.replace(from, to)
        });
        let runs = [("small", small), ("other", other)].map(|(name, recipe)| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            train(&folder, &recipe, &["--stage", "tokenizer"])
        });
        (folder, runs)
    });
    runs.each_ref().map(PathBuf::as_path)
}

/// A folder of `count` images of 40 by 32 pixels, gradients of different colours.
fn images(folder: &Path, count: u32) -> String {
    let images = folder.join("images");
    fs::create_dir_all(&images).unwrap();
    for index in 0..count {
        let picture = RgbImage::from_fn(40, 32, |x, y| {
            let ramp = [x * 6, y * 7, (x * y + 37 * index) % 256];
            Rgb(ramp.map(|value| (value + 11 * index) as u8))
        });
        picture.save(images.join(format!("{index:02}.png"))).unwrap();
    }
    text(&images).to_owned()
}

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

/// The original and the reconstruction of every image, by name, as `vqkit reconstruct` writes them side by side.
fn pairs(run: &Path, images: &str, folder: &Path) -> BTreeMap<String, [RgbImage; 2]> {
    let out = folder.join("pairs");
    succeed(&["reconstruct", text(run), images, "-o", text(&out)]);
    let pairs = fs::read_dir(&out).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let pair = image::open(&path).unwrap().to_rgb8();
        let size = pair.height() - 4;
        let half = |left: u32| image::imageops::crop_imm(&pair, left, 2, size, size).to_image();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), [half(2), half(size + 4)])
    });
    let pairs = pairs.collect();
    fs::remove_dir_all(&out).unwrap();
    pairs
}

fn psnr_db([one, other]: &[RgbImage; 2]) -> f64 {
    let squares = one.as_raw().iter().zip(other.as_raw()).map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2));
    10.0 * (255.0f64.powi(2) * one.as_raw().len() as f64 / squares.sum::<f64>()).log10()
}

/// What `vqkit evaluate` says of the originals and the reconstructions as sets, which are written into a new folder.
fn as_sets(pairs: &BTreeMap<String, [RgbImage; 2]>, folder: &Path, options: &[&str]) -> Value {
    let sides = ["originals", "reconstructions"].map(|side| folder.join(side));
    for (side, path) in sides.iter().enumerate() {
        fs::create_dir_all(path).unwrap();
        pairs.iter().for_each(|(name, pair)| pair[side].save(path.join(format!("{name}.png"))).unwrap());
    }
    let [real, fake] = sides.each_ref().map(|side| text(side));
    json(&succeed(&[&["evaluate", "--real", real, "--fake", fake, "--json"], options].concat()))
}

/// The tokens of one level of all images.
fn tokens(file: &[u8], level: usize) -> Vec<usize> {
    let file = SafeTensors::deserialize(file).unwrap();
    let tensor = file.tensor(&format!("level.{level}")).unwrap();
    assert_eq!(tensor.dtype(), Dtype::U16);
    tensor.data().chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]).into()).collect()
}

/// Entropy in bits, perplexity and share of the codes in use of tokens.
fn use_of_codes(tokens: &[usize], codes: usize) -> [f64; 3] {
    let mut counts = vec![0.0; codes];
    tokens.iter().for_each(|token| counts[*token] += 1.0);
    let shares: Vec<f64> =
        counts.into_iter().filter(|count| *count > 0.0).map(|count| count / tokens.len() as f64).collect();
    let bits: f64 = shares.iter().map(|share| -share * share.log2()).sum();
    [bits, bits.exp2(), shares.len() as f64 / codes as f64]
}

#[test]
fn the_metrics_are_those_computed_from_what_other_verbs_write() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), 11);
    let [small, other] = runs();
    let call =
        ["compare", text(small), text(other), "--data", &images, "--features", "vgg-cifar10", "--batch-size", "4"];
    let found = json(&succeed(&[&call[..], &["--json"]].concat()));
    for (index, (run, size)) in [(small, 24), (other, 32)].into_iter().enumerate() {
        let measured = &found["tokenizers"][index];
        assert_eq!(measured["preparation"]["image_size"], size);
        assert_eq!((&measured["images"], &measured["skipped"]), (&11.into(), &0.into()));
        let pairs = pairs(run, &images, folder.path());
        let of_each: BTreeMap<&str, f64> = pairs.iter().map(|(name, pair)| (name.as_str(), psnr_db(pair))).collect();
        let mean = of_each.values().sum::<f64>() / 11.0;
        assert!((number(&measured["psnr_db"]) - mean).abs() < 1e-6, "{} {mean}", measured["psnr_db"]);
        let shown = measured["shown"].as_array().unwrap();
        assert_eq!(shown.len(), 8);
        for shown in shown {
            let wanted = of_each[shown["key"].as_str().unwrap()];
            assert!((number(&shown["psnr_db"]) - wanted).abs() < 1e-6, "{shown} {wanted}");
        }

        let sides = folder.path().join(format!("sides-{index}"));
        let sets = as_sets(&pairs, &sides, &["--features", "vgg-cifar10"]);
        let wanted = number(&sets["metrics"]["fd_vgg_cifar10"]);
        let distance = number(&measured["set_distance"]["distance"]);
        assert!((distance - wanted).abs() < 1e-3 * wanted, "{distance} {wanted}");
        assert_eq!(measured["set_distance"]["protocol"], "own-size");
        assert_eq!(measured["set_distance"]["images"], 11);

        let out = folder.path().join(format!("tokens-{index}"));
        succeed(&["tokenize", text(run), &images, "-o", text(&out)]);
        let file = fs::read(out.join("train-00000.safetensors")).unwrap();
        let levels = measured["levels"].as_array().unwrap();
        let (mut fixed, mut entropy) = (0.0, 0.0);
        for (level, measured) in levels.iter().enumerate() {
            let codes = if index == 0 { 16 } else { 8 };
            let tokens = tokens(&file, level);
            let positions = tokens.len() as f64 / 11.0;
            let [bits, perplexity, share] = use_of_codes(&tokens, codes);
            let codebook = &measured["codebooks"][0];
            assert!((number(&codebook["perplexity"]) - perplexity).abs() < 1e-9, "{codebook} {perplexity}");
            assert!((number(&codebook["usage"]) - share).abs() < 1e-12, "{codebook} {share}");
            fixed += positions * (codes as f64).log2();
            entropy += positions * bits;
        }
        let pixels = f64::from(size * size);
        assert!((number(&measured["bits_per_pixel"]["fixed"]) - fixed / pixels).abs() < 1e-12);
        assert!((number(&measured["bits_per_pixel"]["entropy"]) - entropy / pixels).abs() < 1e-9);
        for part in ["encode", "decode"] {
            assert!(number(&measured["milliseconds"][part]) > 0.0);
        }
        assert_eq!(measured["milliseconds"]["batches"], 2);
        assert!(measured["parameters"]["encoder"].as_u64() > Some(1000));
        assert!(measured["parameters"]["decoder"].as_u64() > Some(1000));
    }
}

#[test]
fn rfid_is_that_of_the_files_by_the_protocol_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (images, run) = (images(folder.path(), 4), runs()[0]);
    let weights = inception_weights(&folder.path().join("inception.safetensors"));
    let options = ["--weights", text(&weights), "--protocol", "clean-fid"];
    let call = ["compare", text(run), text(run), "--data", &images, "--json"];
    let found = json(&succeed(&[&call[..], &options].concat()));
    let sets = as_sets(&pairs(run, &images, folder.path()), &folder.path().join("sides"), &options);
    let wanted = number(&sets["metrics"]["fid"]);
    // The second uses the features of the originals that the first computed.
    for index in 0..2 {
        let set = &found["tokenizers"][index]["set_distance"];
        assert!((number(&set["distance"]) - wanted).abs() < 1e-3 * wanted, "{set} {wanted}");
        assert_eq!((&set["metric"], &set["protocol"], &set["images"]), (&"fid".into(), &"clean-fid".into(), &4.into()));
    }
    let warnings = found["warnings"].to_string();
    assert!(warnings.contains("4 images are few") && warnings.contains("too large"), "{warnings}");
    assert!(warnings.contains("do not compare it with that of samples (gFID)"), "{warnings}");
}

#[test]
fn the_page_holds_every_tokenizer_and_every_crop() {
    let folder = tempfile::tempdir().unwrap();
    let (images, out) = (images(folder.path(), 5), folder.path().join("comparison"));
    let [small, other] = runs().map(text);
    let table = succeed(&["compare", small, other, small, "--data", &images, "--crops", "3", "-o", text(&out)]);
    assert!(table.starts_with("|  | small | other | small-2 |"), "{table}");
    assert!(table.contains("| size | 24x24 | 32x32 | 24x24 |"), "{table}");
    assert!(table.contains("| bits per pixel, fixed length ↓ | 0.2500 |"), "{table}");
    assert!(table.contains("other, level 1 of 8x8, codebook 0"), "{table}");
    for left_out in ["rFID is left out", "LPIPS is left out", "the tokenizers got the images differently"] {
        assert!(table.contains(&format!("warning: {left_out}")), "{table}");
    }
    let written: Value = serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap();
    let tokenizers = written["tokenizers"].as_array().unwrap();
    assert_eq!(
        tokenizers.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["small", "other", "small-2"]
    );
    assert_eq!(tokenizers[0]["psnr_db"], tokenizers[2]["psnr_db"]);

    let page = fs::read_to_string(out.join("index.html")).unwrap();
    for name in ["small", "other", "small-2"] {
        assert!(page.contains(&format!("<td>{name}</td>")), "{name}");
        assert!(page.contains(&format!(": {name}, ")), "no crop of {name} has a text that stands for it");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");
    let shown: Vec<&str> = page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    // Of three images: the originals of 24 and of 32 pixels, and three reconstructions.
    assert_eq!(shown.len(), 3 * 5);
    for (index, file) in shown.iter().enumerate() {
        let size = if index % 5 < 3 { 24 } else { 32 };
        assert_eq!(image::image_dimensions(out.join(file)).unwrap(), (size, size), "{file}");
    }
}

#[test]
fn one_size_for_all_makes_tokenizers_comparable() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), 3);
    let [small, other] = runs().map(text);
    let call = ["compare", small, other, "--data", &images, "--size"];
    let table = succeed(&[&call[..], &["40"]].concat());
    assert!(table.contains("| size | 40x40 | 40x40 |"), "{table}");
    assert!(!table.contains("differently"), "{table}");
    let marked = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().matches("**").count();
    for name in ["| PSNR (dB) ↑", "| bits per pixel, fixed length ↓", "| parameters (millions) ↓"] {
        assert_eq!(marked(name), 2, "{table}");
    }
    let message = fail(&[&call[..], &["36"]].concat(), &[2]);
    assert!(message.contains("--size: 36 pixels do not suit") && message.contains(other), "{message}");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (images, at) = (images(folder.path(), 3), |name: &str| folder.path().join(name));
    let [small, other] = runs().map(text);
    let message = fail(&["compare", small, &images, "--data", &images], &[1]);
    assert!(message.contains("not a run folder") && message.contains(&images), "{message}");

    let untrained = at("untrained");
    fs::create_dir(&untrained).unwrap();
    fs::copy(runs()[0].join("recipe.toml"), untrained.join("recipe.toml")).unwrap();
    let mut record: Value = serde_json::from_slice(&fs::read(runs()[0].join("run.json")).unwrap()).unwrap();
    record["stages"] = Value::Array(Vec::new());
    fs::write(untrained.join("run.json"), record.to_string()).unwrap();
    let message = fail(&["compare", small, text(&untrained), "--data", &images], &[1]);
    assert!(message.contains("`tokenizer` is not done") && message.contains(text(&untrained)), "{message}");

    fs::create_dir(at("empty")).unwrap();
    let message = fail(&["compare", small, "--data", text(&at("empty"))], &[1, 2]);
    assert!(message.contains(text(&at("empty"))), "{message}");
    let message = fail(&["compare", small, "--data", text(&at("nowhere"))], &[1, 2]);
    assert!(message.contains(text(&at("nowhere"))), "{message}");
    assert_eq!(crate::vqkit::run(&["compare", small]).status.code(), Some(2));
    assert_eq!(crate::vqkit::run(&["compare", "--data", &images]).status.code(), Some(2));
    for option in ["--weights", "--lpips"] {
        let message = fail(&["compare", small, "--data", &images, option, text(&at("nowhere"))], &[2]);
        assert!(message.contains(option) && message.contains("nowhere"), "{message}");
    }
    let location = "hf://me/model/lpips.safetensors";
    let message = fail(&["compare", small, "--data", &images, "--lpips", location], &[1, 2]);
    assert!(message.contains("vqkit weights fetch"), "a location on the Hub is looked up: {message}");

    // The recipe of one stops at what it cannot read, that of the other leaves it out.
    fs::write(Path::new(&images).join("00-broken.png"), "no image").unwrap();
    let message = fail(&["compare", small, "--data", &images], &[1]);
    assert!(message.contains("00-broken"), "{message}");
    let found = json(&succeed(&["compare", other, "--data", &images, "--json"]));
    assert_eq!((&found["tokenizers"][0]["images"], &found["tokenizers"][0]["skipped"]), (&3.into(), &1.into()));
    assert!(found["warnings"].to_string().contains("1 images could not be read"), "{found}");
}
