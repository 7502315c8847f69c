//! Any two sets of pictures, without any run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use vqkit_testing::Golden;

use crate::vqkit::{fail, stderr, text, train_small, vqkit};

/// A folder of pictures and caches of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A folder of `count` pictures of 32 pixels: a gradient and noise from `seed` on, `darker` than others.
    fn pictures(&self, name: &str, count: u32, seed: u32, darker: u8, format: ImageFormat) -> PathBuf {
        let folder = self.at(name);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..count {
            let mut state = (seed + index).wrapping_mul(2_654_435_761).max(1);
            let mut noise = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                (state >> 24) as u8 / 3
            };
            let picture = RgbImage::from_fn(32, 32, |x, y| {
                let ramp = [x * 5, y * 5, (x + y + index) * 2 % 160];
                Rgb(ramp.map(|value| (value as u8).saturating_add(noise()).saturating_sub(darker)))
            });
            let extension = if format == ImageFormat::Jpeg { "jpg" } else { "png" };
            picture.save_with_format(folder.join(format!("{name}-{index:04}.{extension}")), format).unwrap();
        }
        folder
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = vqkit(arguments);
        command.env("XDG_CACHE_HOME", self.at("cache")).env("VQKIT_OFFLINE", "1").output().unwrap()
    }

    /// Compares two sets by the small classifier.
    fn compare(&self, real: &Path, fake: &Path, extra: &[&str]) -> Value {
        let call = ["evaluate", "--real", text(real), "--fake", text(fake), "--features", "vgg-cifar10", "--json"];
        self.json(&[&call[..], extra].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn metric(found: &Value, name: &str) -> f64 {
    found["metrics"][name].as_f64().unwrap_or_else(|| panic!("no `{name}` in {found}"))
}

fn warns(found: &Value, words: &str) -> bool {
    found["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(words))
}

#[test]
fn darker_pictures_are_farther_than_others_of_the_same_kind() {
    let place = Place::new();
    let png = |name: &str, seed, darker| place.pictures(name, 60, seed, darker, ImageFormat::Png);
    let (real, like, dark) = (png("real", 1, 0), png("like", 1000, 0), png("dark", 1000, 60));
    let (near, far) = (place.compare(&real, &like, &[]), place.compare(&real, &dark, &[]));
    assert!(metric(&far, "fd_vgg_cifar10") > 3.0 * metric(&near, "fd_vgg_cifar10").abs(), "{near} {far}");
    assert!(metric(&far, "kid_vgg_cifar10") > metric(&near, "kid_vgg_cifar10"));
    assert!(metric(&near, "precision_vgg_cifar10") > metric(&far, "precision_vgg_cifar10"));
    assert!(metric(&near, "frechet_bias_to_expect_vgg_cifar10") > 0.0);
    assert!(warns(&near, "60 real images are few") && warns(&near, "too large"));
    assert_eq!(near["protocol"]["name"], "own-size");
    assert_eq!(
        (&near["protocol"]["real_from_cache"], &far["protocol"]["real_from_cache"]),
        (&false.into(), &true.into())
    );

    let moved = place.at("moved");
    fs::rename(&real, &moved).unwrap();
    let again = place.compare(&moved, &dark, &[]);
    assert_eq!(again["protocol"]["real_from_cache"], true);
    assert_eq!(again["protocol"]["real"]["path"], text(&moved));
    let real = moved;

    let same = place.compare(&real, &real, &[]);
    assert!(metric(&same, "fd_vgg_cifar10").abs() < 1e-6 && warns(&same, "the same files") && warns(&same, "rFID"));
}

#[test]
fn cached_statistics_of_pictures_that_changed_are_not_used() {
    let place = Place::new();
    let (real, fake) =
        (place.pictures("real", 12, 1, 0, ImageFormat::Bmp), place.pictures("fake", 12, 99, 0, ImageFormat::Bmp));
    let before = place.compare(&real, &fake, &[]);
    assert_eq!(place.compare(&real, &fake, &[])["protocol"]["real_from_cache"], true);
    // Another picture of the same name and size.
    let changed = real.join("real-0003.png");
    let mut bytes = fs::read(&changed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
    fs::write(&changed, bytes).unwrap();
    let after = place.compare(&real, &fake, &[]);
    assert_eq!(after["protocol"]["real_from_cache"], false);
    assert_ne!(metric(&before, "fd_vgg_cifar10"), metric(&after, "fd_vgg_cifar10"));
}

#[test]
fn saved_statistics_stand_for_their_pictures_and_for_no_others() {
    let place = Place::new();
    let (real, fake) =
        (place.pictures("real", 20, 1, 0, ImageFormat::Png), place.pictures("fake", 20, 99, 9, ImageFormat::Png));
    let saved = place.at("statistics.safetensors");
    let whole = place.compare(&real, &fake, &["--save-statistics", text(&saved)]);
    let from_file = place.compare(&saved, &fake, &[]);
    assert_eq!(whole["metrics"], from_file["metrics"]);
    assert_eq!(whole["protocol"]["real"], from_file["protocol"]["real"]);

    let mut tensors = Tensor::read_safetensors(&saved).unwrap();
    let mut take = |name: &str| tensors.swap_remove(tensors.iter().position(|(key, _)| key == name).unwrap()).1;
    let arrays = [("mu", take("mean")), ("sigma", take("covariance"))];
    let archive = place.at("statistics.npz");
    Tensor::write_npz(&arrays, &archive).unwrap();
    let of_archive = place.compare(&archive, &fake, &[]);
    let name = "fd_vgg_cifar10";
    assert!((metric(&of_archive, name) - metric(&whole, name)).abs() < 1e-9 * metric(&whole, name));
    assert!(warns(&of_archive, "do not say how they were made"));
    assert!(of_archive["metrics"].get("precision_vgg_cifar10").is_none());

    let weights = inception(&place);
    let by_inception = ["evaluate", "--real", text(&saved), "--fake", text(&fake), "--weights", text(&weights)];
    let message = refused(&place, &by_inception, 2);
    assert!(message.contains("made with another network: vgg-cifar10"), "{message}");
    let of_archive = ["evaluate", "--real", text(&archive), "--fake", text(&fake), "--weights", text(&weights)];
    assert!(refused(&place, &of_archive, 2).contains("features, inception has 2048"));
}

/// A file with the weights of the golden.
fn inception(place: &Place) -> PathBuf {
    inception_weights(&place.at("inception.safetensors"))
}

/// A new file with the weights of the golden.
pub fn inception_weights(path: &Path) -> PathBuf {
    let golden = Golden::open("fid-inception");
    let tensors: Vec<(String, Tensor)> = golden.weights().into_iter().collect();
    Tensor::write_safetensors(&tensors, path).unwrap();
    path.to_owned()
}

fn refused(place: &Place, arguments: &[&str], code: i32) -> String {
    let output = place.run(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn inception_looks_by_either_protocol_and_at_pictures_of_several_sizes() {
    let place = Place::new();
    let weights = inception(&place);
    let (real, fake) =
        (place.pictures("real", 7, 1, 0, ImageFormat::Png), place.pictures("fake", 11, 99, 40, ImageFormat::Jpeg));
    RgbImage::from_pixel(50, 40, Rgb([200, 30, 30])).save(fake.join("wide.png")).unwrap();
    let compare = |protocol: &str| {
        let call = ["evaluate", "--real", text(&real), "--fake", text(&fake), "--weights", text(&weights), "--json"];
        place.json(&[&call[..], &["--protocol", protocol, "--batch-size", "3"]].concat())
    };
    let (plain, clean) = (compare("pytorch-fid"), compare("clean-fid"));
    assert_eq!(
        (&plain["protocol"]["fake"]["pictures"], &plain["protocol"]["features"]),
        (&12.into(), &"inception".into())
    );
    assert!(warns(&plain, "the real images are PNG, the generated ones JPEG and PNG"));
    let fid = |found: &Value| metric(found, "fid");
    assert!(fid(&plain) > 0.0 && fid(&clean) > 0.0 && (fid(&plain) - fid(&clean)).abs() > 1e-6 * fid(&plain));
    assert!(metric(&plain, "inception_score") >= 1.0);
}

#[test]
fn inception_looks_at_a_run_where_its_weights_are_given() {
    let place = Place::new();
    let weights = inception(&place);
    let run = train_small(place.0.path());
    let metrics = place.json(&["evaluate", text(&run), "--weights", text(&weights), "--json"]);
    assert!(metrics["reconstruction_fid"].as_f64().unwrap() > 0.0);
    assert_eq!(metrics["protocol"]["inception"], blake3(&weights));
    assert!(warns(&metrics, "32 validation images are few"));
    assert!(fs::read_to_string(run.join("report/report.html")).unwrap().contains("rFID"));
    let missing = place.at("missing.pth");
    assert!(
        refused(&place, &["evaluate", text(&run), "--weights", text(&missing)], 2).contains("there are no weights at")
    );
}

fn blake3(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()
}

#[test]
fn what_cannot_be_compared_is_refused_with_one_message() {
    let place = Place::new();
    let real = place.pictures("real", 3, 1, 0, ImageFormat::Png);
    let one = place.pictures("one", 1, 1, 0, ImageFormat::Png);
    let broken = place.pictures("broken", 3, 1, 0, ImageFormat::Png);
    fs::write(broken.join("broken-0001.png"), b"no picture").unwrap();
    let nothing = place.at("nothing");
    fs::create_dir(&nothing).unwrap();
    let damaged = place.at("damaged.npz");
    fs::write(&damaged, b"PK\x03\x04 nothing more").unwrap();
    let gray = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let other = place.at("other.safetensors");
    Tensor::write_safetensors(&[("weight", gray)], &other).unwrap();
    let message = |real: &Path, fake: &Path, extra: &[&str], code| {
        let call = ["evaluate", "--real", text(real), "--fake", text(fake), "--features", "vgg-cifar10"];
        refused(&place, &[&call[..], extra].concat(), code)
    };
    assert!(message(&place.at("missing"), &real, &[], 2).contains("--real: there is nothing at"));
    assert!(message(&place.at("shard-{000..001}.tar"), &real, &[], 1).contains("shard-000.tar"));
    assert!(message(&real, &nothing, &[], 1).contains("holds no image"));
    assert!(message(&real, &one, &[], 2).contains("holds one image"));
    assert!(message(&real, &broken, &[], 1).contains("broken-0001.png"));
    assert!(message(&damaged, &real, &[], 1).contains("damaged.npz"));
    assert!(message(&other, &real, &[], 1).contains("holds no statistics"));
    assert!(message(&real, &real, &["--protocol", "clean-fid"], 2).contains("the others take own-size"));
    assert!(message(&real, &real, &["--weights", text(&other)], 2).contains("comes with its own weights"));
    let by_inception = ["evaluate", "--real", text(&real), "--fake", text(&real)];
    assert!(refused(&place, &by_inception, 1).contains("cannot fetch fid-inception"));
    let wrong_weights = [&by_inception[..], &["--weights", text(&other)]].concat();
    assert!(refused(&place, &wrong_weights, 1).contains("not the weights of FID's InceptionV3"));
    let nowhere = place.at("nowhere/statistics.safetensors");
    assert!(message(&real, &real, &["--save-statistics", text(&nowhere)], 2).contains("there is no folder"));
    fail(&["evaluate"], &[2]);
    assert!(refused(&place, &["evaluate", "run", "--batch-size", "3"], 2).contains("--batch-size"));
}
