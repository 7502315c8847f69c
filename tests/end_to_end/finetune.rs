//! Training that goes on from another's weights: from a run, a checkpoint and a file; everything, or the decoder alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::vqkit::{
    ADVERSARIAL, SMALL, assert_same, recipe, run as call, shared_adversarial, shared_run, stderr, succeed, text, train,
    weights,
};

/// The tokenizer as it is: no code is put elsewhere.
const UNREVIVED: &str = "tokenizer.quantizer.revive_after=0";

/// So small a step that weights stay what they were, up to this.
const STILL: &str = "tokenizer.train.learning_rate=1e-12";
const STILLNESS: f64 = 1e-8;

/// Arguments of a run of two steps, both played, from the weights at `from`.
fn arguments<'a>(from: &'a str, overrides: &[&'a str]) -> Vec<&'a str> {
    let few = [from, UNREVIVED, "tokenizer.train.steps=2", "tokenizer.loss.adversarial.start_step=0"];
    let set = few.iter().chain(overrides).flat_map(|assignment| ["--set", assignment]);
    ["--stage", "tokenizer"].into_iter().chain(set).collect()
}

fn finetuned(from: &Path, overrides: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("tokenizer.finetune.from={}", text(from));
    let run = train(folder.path(), ADVERSARIAL, &arguments(&from, overrides));
    (folder, run)
}

fn last(run: &Path, file: &str) -> BTreeMap<String, tch::Tensor> {
    weights(&run.join("tokenizer/last").join(format!("{file}.safetensors")))
}

/// The largest difference of trained weights below `prefix`; statistics and counters are left out.
fn moved(one: &BTreeMap<String, tch::Tensor>, other: &BTreeMap<String, tch::Tensor>, prefix: &str) -> f64 {
    let trained = |name: &str| name.ends_with("weight") || name.ends_with("bias");
    let names: Vec<&String> = one.keys().filter(|name| name.starts_with(prefix) && trained(name)).collect();
    assert!(!names.is_empty());
    let apart = |name: &String| (&one[name] - &other[name]).abs().max().double_value(&[]);
    names.into_iter().map(apart).fold(0.0, f64::max)
}

#[test]
fn it_begins_with_the_averaged_weights_of_a_run_or_a_checkpoint() {
    let adversarial = shared_adversarial();
    let still = [STILL, "tokenizer.loss.adversarial.train.learning_rate=1e-12"];
    let (_folder, of_run) = finetuned(adversarial, &still);
    assert!(moved(&last(&of_run, "model"), &last(adversarial, "ema"), "") < STILLNESS);
    assert!(moved(&last(&of_run, "model"), &last(adversarial, "model"), "") > 1e-4);
    let (_folder, of_checkpoint) = finetuned(&adversarial.join("tokenizer/last"), &still);
    assert_same(&of_run.join("tokenizer/last"), &of_checkpoint.join("tokenizer/last"));
}

#[test]
fn a_restored_discriminator_is_the_others_and_a_fresh_one_is_not() {
    let still = [STILL, "tokenizer.loss.adversarial.train.learning_rate=1e-12"];
    let theirs = last(shared_adversarial(), "discriminator");
    let begins = |kind: &str, extra: &[&str]| {
        let kind = format!("tokenizer.finetune.discriminator={kind}");
        let (_folder, run) = finetuned(shared_adversarial(), &[&still[..], extra, &[kind.as_str()]].concat());
        last(&run, "discriminator")
    };
    assert!(moved(&begins("restored", &[]), &theirs, "main") < STILLNESS);
    assert!(moved(&begins("fresh", &[]), &theirs, "main") > 1e-3);
    let without_lecam = begins("restored", &["tokenizer.loss.adversarial.lecam_weight=0.0"]);
    assert!(moved(&without_lecam, &theirs, "main") < STILLNESS);
    assert!(!without_lecam.contains_key("lecam.ema_real"));
}

#[test]
fn a_file_with_taming_s_names_alone_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = last(shared_adversarial(), "ema");
    for ours in ["quantize.age", "quantize.initted"] {
        assert!(state.remove(ours).is_some());
    }
    let discriminator = last(shared_adversarial(), "discriminator");
    let of_discriminator = discriminator.iter().filter(|(name, _)| name.starts_with("main."));
    state.extend(of_discriminator.map(|(name, tensor)| (format!("loss.discriminator.{name}"), tensor.shallow_clone())));
    state.insert("loss.perceptual_loss.lin0.model.1.weight".into(), tch::Tensor::from_slice(&[1.0f32]));
    let file = folder.path().join("last.safetensors");
    vqkit_torch::weights::save(&file, &state, &BTreeMap::new()).unwrap();
    let restored = "tokenizer.finetune.discriminator=restored";
    let still = [STILL, "tokenizer.loss.adversarial.train.learning_rate=1e-12", restored];
    let (_folder, run) = finetuned(&file, &still);
    assert!(moved(&last(&run, "model"), &state, "quantize.") < STILLNESS, "k-means does not run again");
    assert!(moved(&last(&run, "model"), &last(shared_adversarial(), "ema"), "") < STILLNESS);
    assert!(moved(&last(&run, "discriminator"), &discriminator, "main") < STILLNESS);
    assert_eq!(last(&run, "model")["quantize.initted"].double_value(&[0]), 1.0);
}

/// The grids of the training images, as the stage `tokens` writes them.
fn tokens(run: &Path) -> Vec<u8> {
    let bytes = fs::read(run.join("tokens/train-00000.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let grids = file.names().into_iter().filter(|name| name.contains("level")).collect::<Vec<_>>();
    assert_eq!(grids.len(), 1, "{:?}", file.names());
    file.tensor(grids[0]).unwrap().data().to_vec()
}

fn tokenize(folder: &Path, from: &str, overrides: &[&str], resumed: &Path) -> Vec<u8> {
    let mut call = arguments(from, overrides);
    call[1] = "tokens";
    succeed(&[&["train", &recipe(folder, ADVERSARIAL), "--run", text(resumed), "--resume"], &call[..]].concat());
    tokens(resumed)
}

#[test]
fn the_decoder_alone_moves_and_tokens_stay() {
    let decoder = ["tokenizer.finetune.train=decoder", "tokenizer.train.learning_rate=1e-2"];
    let from = format!("tokenizer.finetune.from={}", text(shared_adversarial()));
    let (folder, run) = finetuned(shared_adversarial(), &decoder);
    let theirs = last(shared_adversarial(), "ema");
    for file in ["model", "ema"] {
        let ours = last(&run, file);
        for (name, tensor) in &ours {
            let decodes = name.starts_with("decoder.") || name.starts_with("post_quant_conv.");
            assert!(decodes || *tensor == theirs[name], "`{name}` of {file} moved");
        }
        assert!(moved(&ours, &theirs, "decoder.") > 1e-3 && moved(&ours, &theirs, "post_quant_conv.") > 1e-3, "{file}");
    }
    let of_decoder = tokenize(folder.path(), &from, &decoder, &run);
    let all = [decoder[1]];
    let (folder, run) = finetuned(shared_adversarial(), &all);
    let of_all = tokenize(folder.path(), &from, &all, &run);
    let still = [STILL];
    let (folder, run) = finetuned(shared_adversarial(), &still);
    let before = tokenize(folder.path(), &from, &still, &run);
    assert!(of_decoder == before, "tokens stay");
    assert!(of_all != before, "and would not otherwise");
}

/// Every variable of a tokenizer but those below `trained` has its value of `before`, bit for bit; these moved.
fn assert_frozen(run: &Path, before: &BTreeMap<String, tch::Tensor>, trained: &[&str]) {
    for file in ["model", "ema"] {
        let after = last(run, file);
        for (name, tensor) in &after {
            let moves = trained.iter().any(|part| name.starts_with(part));
            assert!(moves || *tensor == before[name], "`{name}` of {file} moved");
        }
        for part in trained {
            assert!(moved(&after, before, part) > 1e-4, "{part} of {file}");
        }
    }
}

#[test]
fn parts_that_are_not_trained_stay_as_they_are_for_fifty_steps() {
    // With batch normalisation and a codebook of moving averages, and with a codebook that takes gradients.
    let of_averages = (SMALL, shared_run(), "tokenizer/best/ema.safetensors", &["decoder."][..]);
    let decoder = &["decoder.", "post_quant_conv."][..];
    let of_gradients = (ADVERSARIAL, shared_adversarial(), "tokenizer/last/ema.safetensors", decoder);
    for (of, run, weights_for_use, decoder) in [of_averages, of_gradients] {
        let (before, from) = (weights(&run.join(weights_for_use)), format!("tokenizer.finetune.from={}", text(run)));
        for (part, trained) in
            [("decoder", decoder.to_vec()), ("decoder-and-codebook", [decoder, &["quantize."]].concat())]
        {
            let folder = tempfile::tempdir().unwrap();
            let part = format!("tokenizer.finetune.train={part}");
            let quick = ["tokenizer.loss={}", "tokenizer.train.batch_size=4", "tokenizer.train.validate_every=50"];
            let settings = [&quick[..], &["tokenizer.train.steps=50", &from, &part]].concat();
            let set = settings.iter().flat_map(|setting| ["--set", *setting]);
            let arguments: Vec<&str> = ["--stage", "tokenizer"].into_iter().chain(set).collect();
            assert_frozen(&train(folder.path(), of, &arguments), &before, &trained);
        }
    }
}

#[test]
fn a_discriminator_is_trained_alone_before_the_tokenizer_is() {
    let theirs = last(shared_adversarial(), "ema");
    let warm_up = "tokenizer.finetune.discriminator_warmup_steps=3";
    let steps = |count: u64| format!("tokenizer.train.steps={count}");
    let (_folder, run) = finetuned(shared_adversarial(), &[warm_up, &steps(3)]);
    assert!(last(&run, "model") == theirs && last(&run, "ema") == theirs, "the tokenizer stays");
    let (_fresh, without) = finetuned(shared_adversarial(), &[warm_up, &steps(1)]);
    assert!(moved(&last(&run, "discriminator"), &last(&without, "discriminator"), "main") > 1e-4);

    let every = "tokenizer.train.checkpoint_every=1";
    let keep = "tokenizer.train.keep=9";
    let overrides = [warm_up, every, keep, &steps(5)];
    let (folder, run) = finetuned(shared_adversarial(), &overrides);
    assert!(moved(&last(&run, "model"), &theirs, "decoder.") > 1e-4, "then it is trained");
    let terms = fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert!(terms.lines().any(|line| line.contains("generator")), "and plays: {terms}");
    let copy = folder.path().join("copy");
    let from = format!("tokenizer.finetune.from={}", text(shared_adversarial()));
    let call = arguments(&from, &overrides);
    let recipe = recipe(folder.path(), ADVERSARIAL);
    succeed(&[&["train", &recipe, "--run", text(&copy)], &call[..]].concat());
    rewind(&copy, "checkpoint-0000002");
    succeed(&[&["train", &recipe, "--run", text(&copy), "--resume"], &call[..]].concat());
    assert_same(&run.join("tokenizer"), &copy.join("tokenizer"));
}

#[test]
fn a_finetuning_goes_on_without_the_weights_that_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    fs::copy(shared_adversarial().join("tokenizer/last/ema.safetensors"), &copy).unwrap();
    let from = format!("tokenizer.finetune.from={}", text(&copy));
    let overrides = ["tokenizer.finetune.train=decoder", "tokenizer.train.checkpoint_every=1"];
    let run = train(folder.path(), ADVERSARIAL, &arguments(&from, &overrides));
    let done = last(&run, "model");
    rewind(&run, "checkpoint-0000001");
    fs::remove_file(&copy).unwrap();
    let call = arguments(&from, &overrides);
    succeed(&[&["train", &recipe(folder.path(), ADVERSARIAL), "--run", text(&run), "--resume"], &call[..]].concat());
    assert!(last(&run, "model") == done);
}

/// Puts a finished run back to an earlier checkpoint of its tokenizer.
fn rewind(run: &Path, checkpoint: &str) {
    let last = run.join("tokenizer/last");
    fs::remove_file(&last).unwrap();
    std::os::unix::fs::symlink(checkpoint, &last).unwrap();
    let path = run.join("run.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["stages"][0]["done"] = serde_json::Value::Null;
    fs::write(&path, record.to_string()).unwrap();
}

#[test]
fn weights_that_do_not_fit_or_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), ADVERSARIAL), folder.path().join("run"));
    let refuse = |from: &str, overrides: &[&str], named: &[&str]| {
        let from = format!("tokenizer.finetune.from={from}");
        let output = call(&[&["train", &recipe, "--run", text(&run)], &arguments(&from, overrides)[..]].concat());
        let message = stderr(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)) && !message.contains("panicked"), "{message}");
        for name in named {
            assert!(message.contains(name), "{from} {overrides:?} should name {name}: {message}");
        }
        if run.exists() {
            fs::remove_dir_all(&run).unwrap();
        }
    };
    let adversarial = text(shared_adversarial());
    let wider = ["tokenizer.embed_dim=12", "tokenizer.quantizer.codebook_size=20"];
    refuse(
        adversarial,
        &wider,
        &[adversarial, "quantize.embedding.weight", "quant_conv.weight", "[16, 8]", "[20, 12]"],
    );
    let restored = "tokenizer.finetune.discriminator=restored";
    let other = [restored, "tokenizer.loss.adversarial.discriminator.ndf=12"];
    refuse(adversarial, &other, &["main.0.weight", "[8, 3, 4, 4]", "[12, 3, 4, 4]"]);
    let tokenizer_alone = format!("{adversarial}/tokenizer/last/ema.safetensors");
    refuse(&tokenizer_alone, &[restored], &["ema.safetensors", "discriminator"]);
    refuse(&tokenizer_alone, &[restored], &["discriminator = \"fresh\"", "discriminator_warmup_steps"]);
    let updates = "tokenizer.finetune.lora={ rank = 2, targets = [\"mlp\"] }";
    refuse(
        adversarial,
        &[updates],
        &["tokenizer.finetune.lora.targets: \"mlp\" matches no layer", "\"convolutions\", \"attention\""],
    );
    refuse(adversarial, &["tokenizer.finetune.lora={ rank = -1 }"], &["tokenizer.finetune.lora.rank: must be in 1..="]);
    refuse(
        adversarial,
        &["tokenizer.finetune.discriminator_warmup_steps=4", "tokenizer.loss.adversarial.start_step=9"],
        &["tokenizer.finetune.discriminator_warmup_steps: ", "start_step is 9"],
    );
    refuse("no/such/run", &[], &["tokenizer.finetune.from: there is no no/such/run"]);
    refuse(text(folder.path()), &[], &["run"]);
}
