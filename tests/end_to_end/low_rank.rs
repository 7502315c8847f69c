//! Fine-tuning with low-rank updates: what is frozen, what the files hold, resuming.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tch::{Kind, Tensor};

use crate::{
    finetune_priors::{LLAMA, of_classes, old_llama, until_priors, write_pictures},
    vqkit::{ADVERSARIAL, SMALL, assert_same, recipe, shared_adversarial, shared_run, succeed, text, train, weights},
};

type Named = BTreeMap<String, Tensor>;

/// A pair of factors, by the name of their weight.
fn pairs(lora: &Named) -> BTreeMap<String, (Tensor, Tensor)> {
    let stem = |name: &String| Some(name.strip_suffix(".lora_A.weight")?.to_owned());
    let pair = |stem: String| {
        let factor = |which: &str| lora[&format!("{stem}.lora_{which}.weight")].shallow_clone();
        (format!("{stem}.weight"), (factor("A"), factor("B")))
    };
    lora.keys().filter_map(stem).map(pair).collect()
}

/// Checks a stage with low-rank updates: weights are the sum of those before and the updates, and nothing but them and
/// what is `whole` moved.
fn check(stage: &Path, started_from: &Named, scale: f64, whole: &[&str]) {
    let checkpoint = stage.join("last");
    let [model, ema, lora] =
        ["model", "ema", "lora"].map(|file| weights(&checkpoint.join(format!("{file}.safetensors"))));
    let (base, pairs) = (weights(&stage.join("base.safetensors")), pairs(&lora));
    assert!(!pairs.is_empty() && base.keys().eq(pairs.keys()));
    for (name, (down, up)) in &pairs {
        assert_eq!(base[name], started_from[name], "{name}");
        let merged = &base[name] + (up.matmul(down) * scale).view(base[name].size().as_slice());
        let apart = (&model[name] - merged).abs().max().double_value(&[]);
        assert!(apart < 1e-6, "{name}: merged and unmerged differ by {apart}");
        assert!(up.abs().max().double_value(&[]) > 0.0, "{name} has no update");
        assert_ne!(model[name], base[name], "{name} stays");
    }
    let is_whole = |name: &str| whole.iter().any(|part| name.starts_with(part));
    for (name, before) in started_from.iter().filter(|(name, _)| !pairs.contains_key(*name) && !is_whole(name)) {
        assert!(model[name] == *before && ema[name] == *before, "{name} moved");
    }
    let others: BTreeSet<&String> = lora.keys().filter(|name| !name.contains(".lora_")).collect();
    assert!(others.iter().all(|name| is_whole(name)), "{others:?}");
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    assert!(size(checkpoint.join("lora.safetensors")) < size(checkpoint.join("model.safetensors")) / 2);
}

fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}

/// Puts a stage back to an earlier checkpoint.
fn rewind(run: &Path, stage: &str, checkpoint: &str) {
    let last = run.join(stage).join("last");
    fs::remove_file(&last).unwrap();
    std::os::unix::fs::symlink(checkpoint, &last).unwrap();
    let path = run.join("run.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for of_stage in record["stages"].as_array_mut().unwrap() {
        if of_stage["name"] == stage {
            of_stage["done"] = serde_json::Value::Null;
        }
    }
    fs::write(&path, record.to_string()).unwrap();
}

#[test]
fn convolutions_of_a_decoder_have_updates_and_a_resumed_run_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("tokenizer.finetune.from={}", text(shared_run()));
    let settings = [
        &from,
        "tokenizer.finetune.train=decoder",
        "tokenizer.finetune.lora={ rank = 2, alpha = 3.0, targets = [\"convolutions\"] }",
        "tokenizer.train.steps=50",
        "tokenizer.train.keep=9",
        "tokenizer.train.checkpoint_every=10",
    ];
    let arguments = [&["--stage", "tokenizer"], &set(&settings)[..]].concat();
    let run = train(folder.path(), SMALL, &arguments);
    let theirs = weights(&shared_run().join("tokenizer/best/ema.safetensors"));
    // Running statistics of the decoder's batch normalisation follow its images.
    let statistics: Vec<String> =
        theirs.keys().filter(|name| name.contains("running_") || name.ends_with("tracked")).cloned().collect();
    let whole: Vec<&str> = statistics.iter().filter(|name| name.starts_with("decoder")).map(String::as_str).collect();
    check(&run.join("tokenizer"), &theirs, 1.5, &whole);
    let lora = weights(&run.join("tokenizer/last/lora.safetensors"));
    assert!(lora.keys().all(|name| name.starts_with("decoder.")), "{:?}", lora.keys());

    let resumed = tempfile::tempdir().unwrap();
    let again = resumed.path().join("run");
    succeed(&[&["train", &recipe(resumed.path(), SMALL), "--run", text(&again)], &arguments[..]].concat());
    rewind(&again, "tokenizer", "checkpoint-0000020");
    succeed(&[&["train", &recipe(resumed.path(), SMALL), "--run", text(&again), "--resume"], &arguments[..]].concat());
    assert_same(&run.join("tokenizer"), &again.join("tokenizer"));
    succeed(&[
        "reconstruct",
        text(&again),
        text(&shared_run().join("samples")),
        "-o",
        text(&resumed.path().join("made")),
    ]);
}

#[test]
fn attention_of_a_vqgan_alone_has_updates_also_beside_an_adaptive_weight() {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("tokenizer.finetune.from={}", text(shared_adversarial()));
    let settings = [
        &from,
        "tokenizer.finetune.lora={ rank = 2, targets = [\"attention\"] }",
        "tokenizer.train.steps=3",
        "tokenizer.loss.adversarial.start_step=0",
    ];
    let run = train(folder.path(), ADVERSARIAL, &[&["--stage", "tokenizer"], &set(&settings)[..]].concat());
    let theirs = weights(&shared_adversarial().join("tokenizer/last/ema.safetensors"));
    check(&run.join("tokenizer"), &theirs, 1.0, &["quantize."]);
    let lora = weights(&run.join("tokenizer/last/lora.safetensors"));
    let of_attention = lora.keys().filter(|name| name.contains(".attn_1.")).count();
    assert_eq!(of_attention, 2 * 2 * 4, "encoder and decoder have one attention of four projections each");
    let moved = (&weights(&run.join("tokenizer/last/model.safetensors"))["quantize.embedding.weight"]
        - &theirs["quantize.embedding.weight"])
        .abs()
        .sum(Kind::Float);
    assert!(moved.double_value(&[]) > 0.0, "the codebook follows an encoder that is trained");
}

#[test]
fn projections_of_a_gpt_have_updates_and_the_table_of_classes_is_trained_whole() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_pictures(folder.path(), &["ant", "bee", "cat", "dog", "eel"], 24);
    let recipe = recipe(folder.path(), &of_classes(&pictures, LLAMA));
    let from = format!("prior.0.finetune.from={}", text(old_llama()));
    let settings = [
        &from,
        "prior.0.finetune.lora={ rank = 2, alpha = 4.0 }",
        "prior.0.train.steps=50",
        "prior.0.train.ema_decay=0.9",
        "prior.0.train.keep=99",
    ];
    let run = folder.path().join("run");
    until_priors(&run, &recipe, &settings);
    let theirs = weights(&old_llama().join("prior/0/best/model.safetensors"));
    check(&run.join("prior/0"), &theirs, 2.0, &["cls_embedding."]);
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let bits: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|line| {
            line["validation_bits_per_token"].as_f64().or_else(|| line["values"]["validation_bits_per_token"].as_f64())
        })
        .collect();
    assert!(bits.len() > 5 && bits[bits.len() - 1] < bits[0], "{bits:?}");

    let whole = weights(&run.join("prior/0/last/lora.safetensors"));
    rewind(&run, "prior/0", "checkpoint-0000020");
    let arguments =
        [&["train", &recipe, "--run", text(&run), "--resume", "--stage", "prior"], &set(&settings)[..]].concat();
    succeed(&arguments);
    assert_eq!(weights(&run.join("prior/0/last/lora.safetensors")), whole);

    let base = run.join("prior/0/base.safetensors");
    let mut changed = weights(&base);
    changed.values_mut().for_each(|weight| *weight = &*weight * 2.0);
    vqkit_torch::weights::save(&base, &changed, &BTreeMap::new()).unwrap();
    rewind(&run, "prior/0", "checkpoint-0000020");
    let output = crate::vqkit::run(&arguments);
    let message = crate::vqkit::stderr(&output);
    assert!(!output.status.success() && message.contains("base.safetensors: holds other weights"), "{message}");
}
