//! Quantizers of vector-quantize-pytorch that stand alone in their files: described, refused as a run, and codes to start from.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use tch::{Kind, Tensor};
use vqkit_testing::Golden;

use crate::vqkit::{SMALL, fail, recipe, run as call_vqkit, stderr, succeed, text, train, weights};

/// Kinds of quantizers, and of a training that keeps codes where they are: no step is large enough to move one.
const GOLDENS: [&str; 5] =
    ["lucidrains-vq", "lucidrains-vq-heads", "lucidrains-rvq", "lucidrains-simvq", "lucidrains-simvq-dim"];
const STILL: &str = "tokenizer.train.learning_rate=1e-12";
const STILLNESS: f64 = 1e-8;

fn inspected(golden: &Golden) -> Value {
    serde_json::from_str(&succeed(&["inspect", text(&golden.path("weights.safetensors")), "--json"])).unwrap()
}

#[test]
fn the_sizes_of_every_kind_are_read() {
    for name in GOLDENS {
        let golden = Golden::open(name);
        let (found, config) = (inspected(&golden), &golden.config()["config"]);
        assert_eq!(found["family"], "lucidrains-vq", "{name}");
        assert_eq!(found["unexplained"], serde_json::json!([]), "{name}");
        let section = &found["networks"][0]["section"];
        let inner = if section["quantizer"].is_null() { section } else { &section["quantizer"] };
        assert_eq!(inner["codebook_size"], config["codebook_size"], "{name}");
        for (ours, theirs) in [("num_quantizers", "num_quantizers"), ("groups", "heads")] {
            assert!(section[ours].is_null() || section[ours] == config[theirs], "{name}: {section}");
        }
    }
}

#[test]
fn one_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Golden::open("lucidrains-vq");
    let out = folder.path().join("run");
    let message = fail(&["import", text(&golden.path("weights.safetensors")), "-o", text(&out)], &[1]);
    assert!(message.contains("tokenizer.finetune.from"), "{message}");
    assert!(!out.exists());
}

/// The section of the quantizer as `inspect` tells it, with codes that gradients train in place of moving averages.
fn still_section(golden: &Golden) -> toml::Table {
    let found = inspected(golden);
    let mut section: toml::Table = serde_json::from_value(found["networks"][0]["section"].clone()).unwrap();
    let inner = match section.get_mut("quantizer") {
        Some(toml::Value::Table(inner)) => inner,
        _ => &mut section,
    };
    if inner["type"].as_str() == Some("ema") {
        inner.remove("decay");
        inner.insert("type".into(), "vq".into());
        inner.insert("revive_after".into(), 0.into());
    }
    section
}

fn recipe_with(golden: &Golden) -> String {
    let mut table: toml::Table = SMALL.parse().unwrap();
    for section in ["condition", "prior", "sample"] {
        table.remove(section);
    }
    let tokenizer = table["tokenizer"].as_table_mut().unwrap();
    tokenizer.insert("embed_dim".into(), golden.config()["config"]["dim"].as_i64().unwrap().into());
    tokenizer.insert("quantizer".into(), still_section(golden).into());
    toml::to_string(&table).unwrap()
}

/// Trains one step from the golden's codes.
fn trained(golden: &Golden, folder: &Path) -> BTreeMap<String, Tensor> {
    let from = format!("tokenizer.finetune.from={}", text(&golden.path("weights.safetensors")));
    let set = [from.as_str(), STILL, "tokenizer.train.steps=1"].map(|assignment| ["--set", assignment]);
    let run = train(folder, &recipe_with(golden), &[&["--stage", "tokenizer"][..], &set.concat()].concat());
    weights(&run.join("tokenizer/last/model.safetensors"))
}

#[test]
fn training_starts_from_the_codes_of_every_kind() {
    for name in GOLDENS {
        let (golden, folder) = (Golden::open(name), tempfile::tempdir().unwrap());
        let (ours, theirs) = (trained(&golden, folder.path()), golden.weights());
        let same = |ours: &Tensor, theirs: &Tensor| {
            assert_eq!(ours.size(), theirs.size(), "{name}");
            assert!((ours - theirs).abs().max().double_value(&[]) < STILLNESS, "{name}");
        };
        for (key, value) in theirs.iter().filter(|(_, value)| value.kind() == Kind::Float) {
            match key.rsplit_once("_codebook.embed") {
                Some((level, "")) if name.ends_with("heads") => (0..value.size()[0]).for_each(|head| {
                    same(&ours[&format!("quantize.groups.{head}.{level}embedding.weight")], &value.get(head))
                }),
                Some((level, "")) => same(&ours[&format!("quantize.{level}embedding.weight")], &value.get(0)),
                Some(_) => {}
                None if key.contains("_codebook.") => {}
                None => same(&ours[&format!("quantize.{}", key.replace("transform.0.", "transform."))], value),
            }
        }
    }
}

#[test]
fn codes_of_another_size_are_refused() {
    let (golden, folder) = (Golden::open("lucidrains-vq"), tempfile::tempdir().unwrap());
    let from = format!("tokenizer.finetune.from={}", text(&golden.path("weights.safetensors")));
    let path = recipe(folder.path(), SMALL);
    let call = ["train", &path, "--stage", "tokenizer", "--set", &from, "--run"];
    let message = stderr(&call_vqkit(&[&call[..], &[text(&folder.path().join("one"))]].concat()));
    assert!(message.contains("quantize.embedding.weight"), "{message}");
    let run = folder.path().join("two");
    let frozen = fail(&[&call[..], &[text(&run), "--set", "tokenizer.finetune.train=decoder"]].concat(), &[2]);
    assert!(frozen.contains("train = \"all\""), "{frozen}");
}
