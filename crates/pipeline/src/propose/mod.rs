//! A recipe for a folder of images: what fits the data, the machine and a time.

mod choices;
mod found;
mod text;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use vqkit_recipe::{InvalidRequest, Recipe};
use vqkit_run::Context;

use crate::{
    error::Result,
    estimate::{self, Estimate},
    propose::{choices::Choices, found::Found, text::Steps},
};

/// Steps of the recipe that is measured.
const MEASURED: Steps = Steps { tokenizer: 2_000, prior: 2_000 };

/// Share of the time of training for the tokenizers; the rest is the prior's.
const SHARE_OF_TOKENIZERS: f64 = 0.55;

/// Fewer images than this are memorised, whatever is done.
const FEW: usize = 5_000;

/// A recipe that takes this many times the hours asked for says so.
const TOO_LONG: f64 = 1.1;

/// Characters that a shell takes as they are.
const PLAIN: &str = "-_./+,:=@%";

/// Hours that a recipe can be wanted for.
const LEAST_HOURS: f64 = 0.05;
const MOST_HOURS: f64 = 10_000.0;

/// What a recipe is wanted for.
#[derive(Debug, Clone)]
pub struct Request {
    /// A folder of images, flat or with a folder for each class; a folder `images` and one with templates; tar archives; a manifest.
    pub path: PathBuf,
    /// The name of the experiment.
    pub name: String,
    /// The file that the recipe will be in.
    pub out: PathBuf,
    /// How long training may take, in hours.
    pub hours: f64,
    /// How long to measure the machine.
    pub measurement: Duration,
}

/// A recipe, and what to expect of it.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// The recipe, as commented TOML.
    pub text: String,
    /// What it takes.
    pub estimate: Estimate,
    /// What to expect of the data.
    pub notes: Vec<String>,
}

/// Looks at the images, measures the machine, and composes a recipe that takes about the hours asked for.
///
/// # Errors
/// When there are no images, or training on them fails.
pub fn propose(request: &Request, context: &Context) -> Result<Proposal> {
    if !(LEAST_HOURS..=MOST_HOURS).contains(&request.hours) {
        let reason = format!("must be {LEAST_HOURS} to {MOST_HOURS}, found {}", request.hours);
        return Err(InvalidRequest::option("hours", reason).into());
    }
    let found = Found::at(&request.path, context)?;
    let choices = Choices::of(&found, request.hours, context.device.is_cuda());
    let mut notes = notes(&found, &choices);
    let compose = |steps: Steps, measured: Option<&Estimate>, notes: &[String]| {
        text::recipe(&request.name, &header(request, &found, notes, measured), &found, &choices, steps)
    };
    let first = parse(&compose(MEASURED, None, &notes)?)?;
    let measured = estimate::estimate(first, request.measurement, context)?;
    let steps = steps(&measured, &found, request.hours * 3600.0);
    let estimate = measured.with_steps(|stage| match stage {
        "tokenizer" => Some(steps.tokenizer),
        "template" => Some(steps.tokenizer.div_ceil(4)),
        stage => stage.starts_with("prior").then_some(steps.prior),
    });
    if estimate.seconds > TOO_LONG * request.hours * 3600.0 {
        notes.push(match steps.tokenizer.min(steps.prior) {
            choices::FEWEST_STEPS => format!(
                "This takes longer than the hours asked for: tokenizer and prior are trained for at least {} steps.",
                choices::FEWEST_STEPS
            ),
            _ => {
                "This takes longer than the hours asked for: encoding, samples and the report alone take most of them."
                    .into()
            }
        });
    }
    let text = compose(steps, Some(&estimate), &notes)?;
    parse(&text)?;
    Ok(Proposal { text, estimate, notes })
}

fn parse(text: &str) -> Result<Recipe> {
    Ok(Recipe::parse("the new recipe", text, &[])?)
}

/// The steps that the time allows.
fn steps(measured: &Estimate, found: &Found, seconds: f64) -> Steps {
    let per_step = |name: &str| {
        let stage = measured.stages.iter().find(|stage| stage.name.starts_with(name));
        stage.and_then(|stage| Some(stage.seconds / stage.steps? as f64)).unwrap_or(0.0)
    };
    let fixed: f64 = measured.stages.iter().filter(|stage| stage.steps.is_none()).map(|stage| stage.seconds).sum();
    let left = (seconds - fixed).max(seconds / 4.0);
    let (of_tokenizers, of_prior) = (per_step("tokenizer") + per_step("template") / 4.0, per_step("prior"));
    let images = found.plan.images;
    // What the prior needs at least is not the tokenizer's; what the tokenizer does not use is the prior's.
    let for_tokenizers = (left * SHARE_OF_TOKENIZERS).min(left - choices::FEWEST_STEPS as f64 * of_prior);
    let tokenizer = choices::tokenizer_steps(for_tokenizers, of_tokenizers, images);
    let prior = choices::prior_steps(left - tokenizer as f64 * of_tokenizers, of_prior, images);
    Steps { tokenizer, prior }
}

fn header(request: &Request, found: &Found, notes: &[String], measured: Option<&Estimate>) -> Vec<String> {
    let plan = &found.plan;
    let mut lines = vec![
        format!("{} images of {}.", plan.images, base(&request.path)),
        String::new(),
        format!("  vqkit train {}", shell_word(&base(&request.out))),
        String::new(),
    ];
    if let Some(estimate) = measured {
        lines.push(format!(
            "What to expect, on {} with {} threads and {}:",
            estimate.device, estimate.threads, estimate.precision
        ));
        lines.push(estimate.summary());
    }
    lines.extend(notes.iter().cloned());
    lines
}

/// The last part of a path.
fn base(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A text as one word of a shell's command line.
pub fn shell_word(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || PLAIN.contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// What a user should know of the data before training.
fn notes(found: &Found, choices: &Choices) -> Vec<String> {
    let plan = &found.plan;
    let mut notes = Vec::new();
    if plan.images < FEW {
        notes.push(format!(
            "{} images are few: the prior will memorise many of them. Watch its bits per token on validation images.",
            plan.images
        ));
    }
    if found.short_side() < choices.image_size {
        notes.push(format!(
            "The middle image is {} pixels wide or high; it is enlarged to {}.",
            found.short_side(),
            choices.image_size
        ));
    }
    if !plan.bad.is_empty() {
        notes.push(format!(
            "About {:.1} % of the images cannot be used and are left out; `vqkit inspect` names some.",
            100.0 * plan.bad_share()
        ));
    }
    if let Some(folder) = &found.unused {
        let folder = base(folder);
        notes.push(format!(
            "The images of `{folder}` have other classes or captions than the training images and are left out; some of these \
             are set aside for validation."
        ));
    }
    if plan.captioned > 0 && !found.has_captions() {
        notes.push(format!(
            "{} of {} images that were looked at have a caption; the recipe uses captions only where all have one.",
            plan.captioned, plan.looked_at
        ));
    }
    if plan.num_classes > 1 && !found.has_classes() {
        let labelled: usize = plan.of_class.values().sum();
        notes.push(format!(
            "{labelled} of {} images that were looked at have one of {} classes; the recipe uses classes only where every \
             image has one, and there are fewer classes than images.",
            plan.looked_at, plan.num_classes
        ));
    }
    // Rare is less than a quarter of an even share.
    let is_rare = |count: usize| found.has_classes() && count * plan.num_classes as usize * 4 < plan.looked_at;
    let least = plan.of_class.iter().min_by_key(|(_, count)| **count);
    if let Some((class, count)) = least.filter(|(_, count)| is_rare(**count)) {
        notes.push(format!("The class `{class}` is rare: {count} of {} images that were looked at.", plan.looked_at));
    }
    notes
}

impl fmt::Display for Proposal {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
        self.estimate.fmt(out)
    }
}
