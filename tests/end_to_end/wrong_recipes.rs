//! Every wrong recipe gives one clear message, and nothing is written.

use crate::vqkit::{SMALL, fail, recipe, text};

/// Overrides of the small recipe, and what the message must name.
const WRONG: &[(&str, &[&str])] = &[
    ("seed=-1", &["seed"]),
    ("name=a/b", &["name", "a/b"]),
    ("precision=fp8", &["precision", "fp8"]),
    ("colour=red", &["unknown key or section `colour`"]),
    ("data.image_size=0", &["data.image_size", "0"]),
    ("data.image_size=26", &["26", "4"]),
    ("data.source.type=folders", &["folders", "shapes"]),
    ("data.source.count=0", &["count"]),
    ("data.held_out=1.5", &["data.held_out", "1.5"]),
    ("tokenizer.type=vqgna", &["vqgna", "vqvae2"]),
    ("tokenizer.channels=wide", &["tokenizer.channels", "wide"]),
    ("tokenizer.downsampling=3", &["downsampling", "3"]),
    ("tokenizer.quantizer.codebook_sise=16", &["codebook_sise", "codebook_size"]),
    ("tokenizer.quantizer.codebook_size=0", &["codebook_size", "0"]),
    ("tokenizer.quantizer.type=magic", &["magic", "ema"]),
    ("tokenizer.loss.reconstruction=l3", &["l3", "l2"]),
    ("tokenizer.train.steps=0", &["steps", "at least 1"]),
    ("tokenizer.train.batch_size=many", &["batch_size", "many"]),
    ("tokenizer.train.learning_rate=-1.0", &["learning_rate", "-1"]),
    ("tokenizer.train.ema_decay=1.0", &["ema_decay", "1"]),
    ("prior.0.num_layers=0", &["num_layers", "0"]),
    ("prior.0.type=pixelsnail", &["pixelsnail", "pixelcnn"]),
    ("prior.1.dim=8", &["1"]),
    ("sample.count=0", &["count"]),
    ("sample.sampling.temperature=-0.5", &["temperature"]),
    ("condition.klass=true", &["klass", "class"]),
];

#[test]
fn a_wrong_key_or_value_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    for (assignment, named) in WRONG {
        let message = fail(&["train", &recipe, "--run", text(&run), "--set", assignment], &[1, 2]);
        for name in *named {
            assert!(message.contains(name), "`{assignment}` should name `{name}`: {message}");
        }
        assert!(!run.exists(), "`{assignment}` left a run behind");
    }
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let check = |from: &str, to: &str, named: &str| {
        assert!(SMALL.contains(from));
        let recipe = recipe(folder.path(), &SMALL.replacen(from, to, 1));
        let message = fail(&["train", &recipe, "--run", text(&run)], &[2]);
        assert!(message.contains(named), "{message}");
    };
    check("channels = 8", "chanels = 8", "recipe.toml:15: tokenizer.chanels");
    check("decay = 0.9\n", "decay = 0.9\nema = 1\n", "tokenizer.train.ema");
    check("[data.source]", "[data.sauce]", "data.sauce");
    check("[tokenizer]", "[tokeniser]", "recipe.toml:13: tokeniser: unknown key or section");
    check("seed = 7", "seed = = 7", "recipe.toml:3");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let small = recipe(folder.path(), SMALL);
    let at = |arguments: &[&str]| fail(&[arguments, &["--run", text(&run)]].concat(), &[1, 2]);
    assert!(at(&["train", "no-such.toml"]).contains("no-such.toml"));
    assert!(at(&["train", &small, "--device", "cuda:97"]).contains("cuda:97"));
    assert!(at(&["train", &small, "--device", "abacus"]).contains("abacus"));
    assert!(at(&["train", &small, "--threads", "0"]).contains("threads"));
    assert!(at(&["train", &small, "--stage", "magic"]).contains("magic"));
    let elsewhere = SMALL.replace(
        "type = \"shapes\"\ncount = 96\nheld_out_count = 32\nmax_objects = 1",
        "type = \"folder\"\ntrain = \"nowhere\"",
    );
    let message = at(&["train", &recipe(folder.path(), &elsewhere)]);
    assert!(message.contains("nowhere"), "{message}");
}
