//! Priors that start from another run's: classes by their names, positions of larger grids, conditions alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::vqkit::{SMALL, recipe, run as call, shared_run, stderr, succeed, text, weights};

const OLD: [&str; 5] = ["ant", "bee", "cat", "dog", "eel"];
const NEW: [&str; 8] = ["ant", "bat", "bee", "cat", "dog", "eel", "fox", "yak"];

const GPT2: &str = "type = \"gpt2\"\nn_layer = 2\nn_head = 2\nn_embd = 16\ncondition_dropout = 0.1\n";
pub const LLAMA: &str =
    "type = \"llama\"\nn_layer = 2\nn_head = 2\ndim = 16\nmultiple_of = 16\ncondition_dropout = 0.1\n";

/// So small a step that no weight moves by a bit.
pub const STILL: &str = "prior.0.train.learning_rate=1e-30";

/// Eight pictures of each class, in folders of their names.
pub fn write_pictures(folder: &Path, classes: &[&str], side: u32) -> PathBuf {
    let pictures = folder.join(format!("pictures-{}-{side}", classes.len()));
    for (class, name) in classes.iter().enumerate() {
        let folder = pictures.join(name);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..8u32 {
            let class = class as u32;
            let colour = |x: u32, y: u32| {
                let stripe = ((x * (class % 3 + 1) + y * (class / 3 + 1) + number) / 4 % 2) as u8;
                image::Rgb([stripe * 200, (class * 30) as u8, (number * 20) as u8])
            };
            image::RgbImage::from_fn(side, side, colour).save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
    pictures
}

/// A recipe for the pictures of some classes, with the shared run's tokenizer.
pub fn of_classes(pictures: &Path, prior: &str) -> String {
    format!(
        "name = \"classes\"\nseed = 3\n[data]\nimage_size = 24\nvalidation = 0.25\n[data.source]\ntype = \"folder\"\ntrain = \"{}\"\n\
         [tokenizer]\nfrom = \"{}\"\n[condition]\nclass = true\n[[prior]]\n{prior}[prior.train]\nsteps = 4\nbatch_size = 8\n\
         learning_rate = 1e-2\nlog_every = 2\ncheckpoint_every = 2\nvalidate_every = 2\n",
        text(pictures),
        text(shared_run())
    )
}

/// Runs a recipe as far as its priors, with settings.
pub fn until_priors(run: &Path, recipe: &str, settings: &[&str]) {
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    for (stage, more) in [("tokenizer", &[][..]), ("tokens", &["--resume"]), ("prior", &["--resume"])] {
        succeed(&[&["train", recipe, "--run", text(run), "--stage", stage], more, &set].concat());
    }
}

/// Runs with a GPT of each kind for five classes, which tests share; they only read it.
fn old(kind: &str) -> &'static Path {
    static RUNS: OnceLock<(TempDir, BTreeMap<String, PathBuf>)> = OnceLock::new();
    let (_, runs) = RUNS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let pictures = write_pictures(folder.path(), &OLD, 24);
        let run = |(kind, prior): (&str, &str)| {
            let run = folder.path().join(kind);
            until_priors(&run, &recipe(folder.path(), &of_classes(&pictures, prior)), &[]);
            (kind.to_owned(), run)
        };
        let runs = [("gpt2", GPT2), ("llama", LLAMA)].map(run).into();
        (folder, runs)
    });
    &runs[kind]
}

/// A finished run with a small LLAMA for five classes.
pub fn old_llama() -> &'static Path {
    old("llama")
}

pub fn last(run: &Path, file: &str) -> BTreeMap<String, Tensor> {
    weights(&run.join("prior/0/last").join(format!("{file}.safetensors")))
}

/// The weights of a finished run that later stages use: those of its best checkpoint.
fn used(run: &Path) -> BTreeMap<String, Tensor> {
    weights(&run.join("prior/0/best/model.safetensors"))
}

fn from(run: &Path) -> String {
    format!("prior.0.finetune.from={}", text(run))
}

/// A run for eight classes that starts from that for five.
fn finetuned(kind: &str, prior: &str, settings: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_pictures(folder.path(), &NEW, 24);
    let (run, from) = (folder.path().join("run"), from(old(kind)));
    let recipe = recipe(folder.path(), &of_classes(&pictures, prior));
    until_priors(&run, &recipe, &[&[from.as_str()], settings].concat());
    (folder, run)
}

#[test]
fn five_classes_keep_their_rows_among_eight_and_everything_else_is_the_others() {
    for (kind, prior, table) in
        [("gpt2", GPT2, "class_emb.weight"), ("llama", LLAMA, "cls_embedding.embedding_table.weight")]
    {
        let (_folder, run) = finetuned(kind, prior, &[STILL]);
        let (theirs, ours) = (used(old(kind)), last(&run, "model"));
        assert_eq!((theirs[table].size()[0], ours[table].size()[0]), (6, 9));
        for (old, name) in OLD.iter().enumerate() {
            let new = NEW.iter().position(|new| new == name).unwrap();
            assert_eq!(ours[table].get(new as i64), theirs[table].get(old as i64), "{kind}: {name}");
        }
        assert_eq!(ours[table].get(8), theirs[table].get(5), "{kind}: the null class");
        let mean = theirs[table].narrow(0, 0, 5).mean_dim([0i64].as_slice(), false, Kind::Float);
        let spread = theirs[table].narrow(0, 0, 5).std(true).double_value(&[]);
        for new in [1, 6, 7] {
            let apart = (ours[table].get(new) - &mean).square().mean(Kind::Float).sqrt().double_value(&[]);
            assert!(
                apart > 0.0 && apart < spread / 3.0,
                "{kind}: {new} is {apart} from the mean, of a spread of {spread}"
            );
        }
        assert!(ours.iter().all(|(name, tensor)| name == table || *tensor == theirs[name]), "{kind}");
    }
}

#[test]
fn conditions_alone_are_trained_and_nothing_else_moves() {
    let more = ["prior.0.finetune.train=conditions", "prior.0.train.steps=50", "prior.0.train.ema_decay=0.9"];
    let (_folder, run) = finetuned("llama", LLAMA, &more);
    let theirs = used(old("llama"));
    for file in ["model", "ema"] {
        for (name, tensor) in last(&run, file) {
            match name.starts_with("cls_embedding.") {
                true => assert_ne!(tensor.narrow(0, 2, 1), theirs[&name].narrow(0, 1, 1), "{name} of {file} stays"),
                false => assert!(tensor == theirs[&name], "{name} of {file} moved"),
            }
        }
    }
}

#[test]
fn learned_positions_are_interpolated_over_a_larger_grid() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_pictures(folder.path(), &OLD, 32);
    let (_, tokenizer) = SMALL.split_once("[tokenizer]").unwrap();
    let (tokenizer, _) = tokenizer.split_once("[condition]").unwrap();
    let own = format!("[tokenizer]{tokenizer}[tokenizer.finetune]\nfrom = \"{}\"\n", text(shared_run()));
    let inherited = format!("[tokenizer]\nfrom = \"{}\"\n", text(shared_run()));
    let of = of_classes(&pictures, GPT2).replace(&inherited, &own).replace("image_size = 24", "image_size = 32");
    let (recipe, run, from) = (recipe(folder.path(), &of), folder.path().join("run"), from(old("gpt2")));
    until_priors(&run, &recipe, &[&from, STILL, "tokenizer.train.steps=1", "tokenizer.train.learning_rate=1e-12"]);
    let (theirs, ours) = (used(old("gpt2")), last(&run, "model"));
    assert_eq!((theirs["pos_emb"].size(), ours["pos_emb"].size()), (vec![1, 36, 16], vec![1, 64, 16]));
    assert_eq!(ours["pos_emb"].select(1, 0), theirs["pos_emb"].select(1, 0), "the position of the class");
    // Of the corner, which is nearest to the corner of the smaller grid; and between four cells, by bilinear weights.
    assert_eq!(ours["pos_emb"].select(1, 1), theirs["pos_emb"].select(1, 1));
    let cell = |row: i64, column: i64| theirs["pos_emb"].select(1, 1 + row * 6 + column);
    let share = 1.5 * 6.0 / 8.0 - 0.5;
    let line = |row: i64| cell(row, 0) * (1.0 - share) + cell(row, 1) * share;
    let between = line(0) * (1.0 - share) + line(1) * share;
    let made = ours["pos_emb"].select(1, 1 + 8 + 1);
    assert!((made - between).abs().max().double_value(&[]) < 1e-6);
    assert!(ours.iter().all(|(name, tensor)| name == "pos_emb" || *tensor == theirs[name]));
}

#[test]
fn a_prior_that_does_not_fit_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_pictures(folder.path(), &NEW, 24);
    let (recipe, run) = (recipe(folder.path(), &of_classes(&pictures, GPT2)), folder.path().join("run"));
    let refuse = |from: &Path, settings: &[&str], named: &[&str]| {
        let from = format!("prior.0.finetune.from={}", text(from));
        let set: Vec<&str> = [from.as_str()].iter().chain(settings).flat_map(|setting| ["--set", setting]).collect();
        let output = call(&[&["train", &recipe, "--run", text(&run)], &set[..]].concat());
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{settings:?}: {message}");
        for name in named {
            assert!(message.contains(name), "{settings:?} should name {name}: {message}");
        }
        assert!(!run.exists(), "{settings:?}");
    };
    let old = old("gpt2");
    refuse(
        old,
        &["prior.0.n_layer=3", "prior.0.n_embd=24"],
        &["prior.0.finetune.from: ", "n_embd is 16 there and 24 here", "n_layer is 2 there and 3 here"],
    );
    refuse(self::old("llama"), &[], &["type is \"llama\" there and \"gpt2\" here"]);
    refuse(Path::new("no/such"), &[], &["prior.0.finetune.from: there is no no/such"]);
    refuse(folder.path(), &[], &["is neither a run nor a checkpoint"]);
    refuse(
        old,
        &["prior.0.finetune.lora={ rank = 0 }"],
        &["prior.0.finetune.lora.rank: must be in 1..=16384, found 0"],
    );
    refuse(
        old,
        &["prior.0.finetune.lora={ rank = 2, targets = [\"convolutions\"] }"],
        &["prior.0.finetune.lora.targets: \"convolutions\" matches no layer", "\"attention\", \"mlp\""],
    );
    refuse(
        old,
        &["prior.0.finetune.lora={ rank = 2 }", "prior.0.finetune.train=conditions"],
        &["prior.0.finetune.train: \"conditions\" trains none of the layers"],
    );
    refuse(
        old,
        &["prior.0.finetune.train=conditions", "prior.0.vocabulary=shared"],
        &["vocabulary is \"separate\" there and \"shared\" here"],
    );
    refuse(shared_run(), &[], &["type is \"pixelcnn\" there and \"gpt2\" here"]);
}

#[test]
fn a_checkpoint_will_do_and_a_file_keeps_classes_by_their_numbers() {
    let (folder, of_run) = finetuned("llama", LLAMA, &[STILL]);
    let recipe = recipe(folder.path(), &of_classes(&folder.path().join("pictures-8-24"), LLAMA));
    let copy = folder.path().join("copy.safetensors");
    fs::copy(of_run.join("prior/0/last/model.safetensors"), &copy).unwrap();
    let checkpoint = old("llama").join("prior/0/best");
    for (name, from) in [("checkpoint", checkpoint.as_path()), ("file", &copy)] {
        let (run, from) = (folder.path().join(name), format!("prior.0.finetune.from={}", text(from)));
        until_priors(&run, &recipe, &[&from, STILL]);
        assert_eq!(last(&run, "model"), last(&of_run, "model"), "{name}");
    }
}
