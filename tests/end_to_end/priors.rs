//! Every prior in every place where a recipe names one.

use std::fs;

use crate::{
    processes::{kill, start, wait_for},
    vqkit::{assert_same, fail, recipe, succeed, text},
};

/// Two levels of tokens, whose priors `TOP` and `BOTTOM` stand for.
const TWO_LEVELS: &str = r#"
name = "two-levels"
seed = 3

[data]
image_size = 32
[data.source]
type = "shapes"
count = 64
validation_count = 16
max_objects = 1

[tokenizer]
type = "vqvae2"
channels = 16
residual_blocks = 1
residual_channels = 8
embed_dim = 8
norm = "batch"
[tokenizer.quantizer]
type = "ema"
codebook_size = 12
[tokenizer.train]
steps = 10
batch_size = 16
learning_rate = 1e-3

[condition]
class = true

[[prior]]
TOP
[prior.train]
TRAIN

[[prior]]
BOTTOM
[prior.train]
TRAIN

[sample]
count = 4
"#;

const TRAIN: &str =
    "steps = 12\nbatch_size = 8\nlearning_rate = 1e-3\nema_decay = 0.9\nvalidate_every = 6\ncheckpoint_every = 3";
const GPT2: &str = "type = \"gpt2\"\nn_layer = 2\nn_head = 2\nn_embd = 16\nresid_pdrop = 0.1\npkeep = 0.9\norder = \"spiral-in\"\ncondition_dropout = 0.1";
const LLAMA: &str = "type = \"llama\"\nn_layer = 2\nn_head = 2\ndim = 16\nmultiple_of = 8\ncondition_dropout = 0.1\nactivation_checkpointing = true";
const PIXELSNAIL: &str = "type = \"pixelsnail\"\nchannel = 16\nkernel_size = 3\nn_block = 1\nn_res_block = 1\nres_channel = 8\nn_cond_res_block = 1\ncond_res_channel = 8\nclass_dropout = 0.1";
const PIXELCNN: &str = "type = \"pixelcnn\"\ndim = 8\nnum_layers = 2\nclass_dropout = 0.1";

fn with(top: &str, bottom: &str) -> String {
    TWO_LEVELS.replace("TOP", top).replace("BOTTOM", bottom).replace("TRAIN", TRAIN)
}

#[test]
fn priors_are_interchangeable_on_either_level() {
    for (top, bottom) in [(GPT2, LLAMA), (LLAMA, PIXELSNAIL), (PIXELSNAIL, GPT2), (PIXELCNN, PIXELSNAIL)] {
        let folder = tempfile::tempdir().unwrap();
        let (recipe, run) = (recipe(folder.path(), &with(top, bottom)), folder.path().join("run"));
        succeed(&["train", &recipe, "--run", text(&run)]);
        let metrics = fs::read_to_string(run.join("report/metrics.json")).unwrap();
        assert_eq!(metrics.matches("\"prior_bits_per_token\": ").count(), 2, "{metrics}");
        let guided = folder.path().join("guided");
        succeed(&["sample", text(&run), "-n", "3", "--cfg", "2", "--class", "circle", "-o", text(&guided)]);
        assert!(guided.join("000002.png").is_file());
    }
}

#[test]
fn transformers_that_are_killed_lose_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let recipe = recipe(whole.path(), &with(LLAMA, GPT2));
    let (left_alone, killed) = (whole.path().join("left-alone"), whole.path().join("killed"));
    succeed(&["train", &recipe, "--run", text(&left_alone)]);
    for moment in ["prior/0-top/checkpoint-0000003", "prior/1-bottom/checkpoint-0000006"] {
        let mut child = start(&recipe, &killed, &[]);
        wait_for(&killed.join(moment), &mut child);
        kill(child);
    }
    succeed(&["train", &recipe, "--run", text(&killed), "--resume"]);
    assert_same(&left_alone, &killed);
}

#[test]
fn a_prior_that_does_not_fit_is_refused_before_anything_trains() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let odd = GPT2.replace("n_head = 2", "n_head = 3");
    let message = fail(&["train", &recipe(folder.path(), &with(&odd, LLAMA)), "--run", text(&run)], &[2]);
    assert!(message.contains("n_head") && message.contains("n_embd = 16") && !run.exists(), "{message}");
    let unmasked = GPT2.replace("pkeep = 0.9", "n_unmasked = 9");
    let message = fail(&["train", &recipe(folder.path(), &with(&unmasked, LLAMA)), "--run", text(&run)], &[2]);
    assert!(message.contains("n_unmasked") && !run.exists(), "{message}");
}
