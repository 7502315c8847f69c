//! The recipes that ship.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vqkit::{pipeline::stages, recipe::Recipe, run::Context};

#[test]
fn every_recipe_can_be_built_and_reads_back_as_it_was_resolved() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let context = Context::silent("cpu").unwrap();
    let mut recipes = 0;
    for path in
        [configs.join("published"), configs.join("finetune"), configs].iter().flat_map(|folder| files_of(folder))
    {
        let recipe = Recipe::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        // The tokenizer of another run has to be there before it can be built.
        if recipe.tokenizer_from.is_none() {
            stages::check(&recipe, &context).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let resolved = Recipe::parse("resolved", &recipe.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(recipe, resolved, "{}", path.display());
        recipes += 1;
    }
    assert!(recipes >= 10);
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

/// The sections of adversarial training, none of whose values is the default.
const ADVERSARIAL: &str = r#"
name = "everything"
seed = 3
precision = "bf16"

[data]
image_size = 32
[data.source]
type = "shapes"
count = 96
validation_count = 16

[features]
widths = [8, 12]
convolutions = 1
shift = 2
label_smoothing = 0.1
[features.train]
steps = 30
batch_size = 16
optimizer = "muon"
learning_rate = 3e-3
ema_decay = 0.9

[tokenizer]
type = "vqgan"
ch = 32
ch_mult = [1, 2]
num_res_blocks = 1
attn_resolutions = [16]
resolution = 32
z_channels = 8
embed_dim = 4
dropout = 0.1
resamp_with_conv = false
in_channels = 3
out_ch = 3
[tokenizer.quantizer]
type = "vq"
codebook_size = 16
[tokenizer.loss]
reconstruction = "l1"
reconstruction_weight = 2.0
[tokenizer.loss.perceptual]
type = "vgg"
weight = 0.5
weights = "run"
[tokenizer.loss.adversarial]
weight = 0.5
adaptive = false
max_adaptive_weight = 10.0
loss = "non-saturating"
start_step = 12
ramp_steps = 4
lecam_weight = 0.01
lecam_decay = 0.9
r1_weight = 0.1
r1_every = 4
[tokenizer.loss.adversarial.discriminator]
ndf = 8
n_layers = 2
norm = "actnorm"
[tokenizer.loss.adversarial.train]
optimizer = "muon"
learning_rate = 1e-4
betas = [0.4, 0.8]
[tokenizer.train]
steps = 24
batch_size = 8
grad_accumulation = 2
learning_rate = 1e-3
[tokenizer.finetune]
from = "runs/other"
train = "decoder"
discriminator = "restored"
"#;

const LPIPS: &str = r#"type = "lpips"
weight = 0.5
weights = ["vgg16.pth", "vgg.pth"]
optional = true
"#;

#[test]
fn what_a_recipe_says_of_adversarial_training_is_kept() {
    let lpips = ADVERSARIAL.replace("type = \"vgg\"\nweight = 0.5\nweights = \"run\"\n", LPIPS);
    assert_ne!(lpips, ADVERSARIAL);
    for text in [ADVERSARIAL, &lpips] {
        let recipe = Recipe::parse("recipe", text, &[]).unwrap();
        let resolved = recipe.to_toml().unwrap();
        assert_eq!(recipe, Recipe::parse("resolved", &resolved, &[]).unwrap());
        let written: toml::Table = toml::from_str(text).unwrap();
        let kept: toml::Table = toml::from_str(&resolved).unwrap();
        assert_kept(&written, &kept, "");
    }
}

/// Every value of `written` stands in `kept`.
fn assert_kept(written: &toml::Table, kept: &toml::Table, path: &str) {
    for (key, value) in written {
        let path = format!("{path}.{key}");
        match (value, kept.get(key)) {
            (toml::Value::Table(written), Some(toml::Value::Table(kept))) => assert_kept(written, kept, &path),
            (written, kept) => assert_eq!(Some(written), kept, "{path}"),
        }
    }
}

#[test]
fn batch_normalisation_of_single_values_is_refused() {
    let of = |norm: &str, batch_size: usize| {
        let text = format!(
            "name = \"single\"\n[data]\nimage_size = 32\n[data.source]\ntype = \"shapes\"\ncount = 8\nvalidation_count = 2\n\
             [tokenizer]\ntype = \"vqvae\"\nchannels = 32\ndownsampling = 32\nnorm = \"{norm}\"\n\
             [tokenizer.quantizer]\ntype = \"vq\"\ncodebook_size = 16\n\
             [tokenizer.train]\nsteps = 1\nbatch_size = {batch_size}\nlearning_rate = 1e-3\n"
        );
        stages::check(&Recipe::parse("single", &text, &[]).unwrap(), &Context::silent("cpu").unwrap())
    };
    let message = of("batch", 1).unwrap_err().to_string();
    assert!(
        message.starts_with("tokenizer.train.batch_size: batch normalisation needs more than one value"),
        "{message}"
    );
    of("batch", 2).unwrap();
    of("group", 1).unwrap();
}
