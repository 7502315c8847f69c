//! The recipe as commented TOML.

use vqkit_data::SourceConfig;
use vqkit_recipe::InvalidRequest;

use super::{
    choices::{BATCH_SIZES, Choices},
    found::Found,
};
use crate::{error::Result, inspect::data::DataPlan};

/// Steps of the networks of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Of each tokenizer.
    pub tokenizer: u64,
    /// Of the prior.
    pub prior: u64,
}

/// What stands between a value and its comment.
const BEHIND: &str = "  # ";

/// The column of such comments.
const COLUMN: usize = 36;

/// Classes that a comment names.
const NAMED: usize = 4;

/// Bounds of the share of bad images that training tolerates: a few validation images may hold most of them by chance.
const BAD_SHARE: (f64, f64) = (0.2, 0.9);

/// Keys of a tokenizer's network that are the same at every size: what learns fastest on a processor.
const NETWORK: &str = "residual_blocks = 2
residual_channels = 64
embed_dim = 16
norm = \"batch\"
latent_norm = \"batch\"
residual = \"preactivated\"
";

/// How everything is optimized.
const OPTIMIZER: &str = "optimizer = \"muon\"  # fewer steps than AdamW, each a little slower
learning_rate = 3e-3
";

/// The recipe. `header`: lines of the comment at its head.
pub fn recipe(name: &str, header: &[String], found: &Found, choices: &Choices, steps: Steps) -> Result<String> {
    let comment = |line: &String| format!("# {line}").replace(char::is_control, " ").trim_end().to_owned() + "\n";
    let header: String = header.iter().map(comment).collect();
    let name = format!("name = \"{name}\"  # the run goes to runs/{name}\n\n");
    let data = aligned(&(name + &data(found, choices)));
    let mut text = tokenizer("tokenizer", choices, steps.tokenizer);
    text += &losses(choices, steps.tokenizer);
    if found.template.is_some() {
        text += "\n# The templates become tokens too, and stand in front of those of the image (Esser et al. 2021).\n";
        text += &tokenizer("template", choices, steps.tokenizer.div_ceil(4));
    }
    text += &conditions(found);
    text += &prior(choices, steps.prior, kinds_of_conditions(found));
    Ok(header + &data + &source(found)? + &aligned(&text))
}

/// Lines whose comments, where they have one behind a value, begin in the same column.
fn aligned(text: &str) -> String {
    let aligned = |line: &str| match line.split_once(BEHIND) {
        Some((value, comment)) => format!("{value:<COLUMN$}# {comment}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(aligned).collect()
}

/// The number of kinds of conditions: class, text, template.
fn kinds_of_conditions(found: &Found) -> usize {
    [found.has_classes(), found.has_captions(), found.template.is_some()].into_iter().filter(|kind| *kind).count()
}

fn data(found: &Found, choices: &Choices) -> String {
    let Choices { image_size, validation, .. } = choices;
    let mut text =
        format!("[data]\nimage_size = {image_size}  # the short side is resized to this, then the centre is cut out\n");
    if !found.has_validation() {
        text += &format!("validation = {validation:.3}  # share of the images to validate on\n");
    }
    // A flipped caption or letter may be wrong.
    if !found.has_captions() {
        text += "flip = true  # mirror half of the training images; false for letters and signs\n";
    }
    text += "on_error = \"skip\"  # images that cannot be read are left out and listed\n";
    let share = (2.0 * found.plan.bad_share()).clamp(BAD_SHARE.0, BAD_SHARE.1);
    text + &format!("max_error_rate = {share:.2}  # share of such images above which training stops\n")
}

fn source(found: &Found) -> Result<String> {
    let source = toml::to_string(&Sectioned { source: &found.source })
        .map_err(|error| InvalidRequest::option("path", error.to_string()))?;
    Ok(source.replace("[source", "[data.source"))
}

/// A source under its key.
#[derive(serde::Serialize)]
struct Sectioned<'a> {
    source: &'a SourceConfig,
}

fn tokenizer(section: &str, choices: &Choices, steps: u64) -> String {
    let Choices { downsampling, codebook_size, .. } = choices;
    let (grid, batch) = (choices.grid(), BATCH_SIZES.0);
    let (warmup, every) = (warmup(steps), every(steps));
    format!(
        "
[{section}]
type = \"vqvae\"
downsampling = {downsampling}  # {grid}x{grid} tokens; half as much gives four times as many, and sharper images
channels = 128
fine_channels = 48
{NETWORK}[{section}.quantizer]
type = \"ema\"
codebook_size = {codebook_size}
commitment_weight = 0.05
[{section}.train]
steps = {steps}
batch_size = {batch}
{OPTIMIZER}betas = [0.9, 0.99]
schedule = {{ type = \"warmup-cosine\", warmup_steps = {warmup} }}
ema_decay = 0.995
validate_every = {every}
checkpoint_every = {every}
guard = {{ on_fault = \"step-back\" }}  # where training goes wrong, back to a sound checkpoint and on more slowly
"
    )
}

fn losses(choices: &Choices, steps: u64) -> String {
    let mut text = "[tokenizer.loss]
reconstruction = \"l2\"
[tokenizer.loss.perceptual]
type = \"vgg\"  # a small network that comes with vqkit; \"lpips\" needs a download
weight = 0.1
"
    .to_owned();
    if choices.is_adversarial {
        let start = steps / 2;
        text += &format!(
            "# The discriminator makes textures sharp. It starts when the tokenizer is half trained.
[tokenizer.loss.adversarial]
weight = 0.5
start_step = {start}
ramp_steps = {}
lecam_weight = 0.001
[tokenizer.loss.adversarial.discriminator]
ndf = 32
n_layers = 2
[tokenizer.loss.adversarial.train]
learning_rate = 2e-4
",
            (steps / 20).max(1)
        );
    }
    text
}

fn conditions(found: &Found) -> String {
    let mut text = String::new();
    let plan = &found.plan;
    if found.has_classes() {
        text += &format!("class = true  # {}\n", classes(plan));
    }
    if found.has_captions() {
        text += "text = { length = 32 }  # captions, in at most this many ids; longer ones are cut\n";
    }
    if found.template.is_some() {
        text += "template = { type = \"given\" }  # that of the data\n";
    }
    if text.is_empty() { text } else { format!("\n[condition]\n{text}") }
}

/// The number of classes, and the names of the first ones.
fn classes(plan: &DataPlan) -> String {
    let names =
        plan.classes.iter().take(NAMED).map(|name| name.replace(char::is_control, " ")).collect::<Vec<_>>().join(", ");
    let more = if plan.classes.len() > NAMED { ", …" } else { "" };
    let colon = if names.is_empty() { "" } else { ": " };
    format!("{} classes{colon}{names}{more}", plan.num_classes)
}

fn prior(choices: &Choices, steps: u64, kinds_of_conditions: usize) -> String {
    let Choices { prior: [layers, heads, width], dropout, .. } = choices;
    let (warmup, every, batch) = (warmup(steps), every(steps), BATCH_SIZES.1);
    let mut free = String::new();
    if kinds_of_conditions > 0 {
        free += "condition_dropout = 0.1  # allows guidance (--cfg)\n";
    }
    if kinds_of_conditions > 1 {
        free += "condition_dropout_mode = \"each\"  # any part of the condition may be left out\n";
    }
    let scale = if kinds_of_conditions > 0 { "cfg_scale = 2.0\n" } else { "" };
    format!(
        "
[[prior]]
type = \"gpt2\"
n_layer = {layers}
n_head = {heads}
n_embd = {width}
resid_pdrop = {dropout}  # attn_pdrop drops out attention too, and takes most of the time on a processor
embd_pdrop = {dropout}
{free}[prior.train]
steps = {steps}
batch_size = {batch}
{OPTIMIZER}schedule = {{ type = \"warmup-cosine\", warmup_steps = {warmup} }}
weight_decay = 0.05
ema_decay = 0.995
validate_every = {every}
checkpoint_every = {every}

[sample.sampling]
{scale}top_p = 0.95
"
    )
}

/// Steps of warm-up: a twentieth, 100 at most.
fn warmup(steps: u64) -> u64 {
    (steps / 20).clamp(1, 100)
}

/// Steps between two validations: about ten in all.
fn every(steps: u64) -> u64 {
    (steps / 10).max(1)
}
