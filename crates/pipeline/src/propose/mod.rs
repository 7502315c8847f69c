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

/// Shares of the time for the tokenizers and for the prior; the rest is for tokens, samples and the report.
const SHARES: (f64, f64) = (0.5, 0.4);

/// Fewer images than this are memorised, whatever is done.
const FEW: usize = 5_000;

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
    let notes = notes(&found, &choices);
    let compose = |steps: Steps, measured: Option<&Estimate>| {
        text::recipe(&request.name, &header(request, &found, &notes, measured), &found, &choices, steps)
    };
    let first = parse(&compose(MEASURED, None)?)?;
    let measured = estimate::estimate(first, request.measurement, context)?;
    let steps = steps(&measured, &found, request.hours * 3600.0);
    let estimate = measured.with_steps(|stage| match stage {
        "tokenizer" => Some(steps.tokenizer),
        "template" => Some(steps.tokenizer.div_ceil(4)),
        stage => stage.starts_with("prior").then_some(steps.prior),
    });
    let text = compose(steps, Some(&estimate))?;
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
    let left = (seconds - fixed).max(seconds / 4.0) / (SHARES.0 + SHARES.1);
    let of_tokenizers = per_step("tokenizer") + per_step("template") / 4.0;
    let images = found.plan.images;
    Steps {
        tokenizer: choices::tokenizer_steps(left * SHARES.0, of_tokenizers, images),
        prior: choices::prior_steps(left * SHARES.1, per_step("prior"), images),
    }
}

fn header(request: &Request, found: &Found, notes: &[String], measured: Option<&Estimate>) -> Vec<String> {
    let plan = &found.plan;
    let mut lines = vec![
        format!("{} images of {}.", plan.images, base(&request.path)),
        String::new(),
        format!("  vqkit train {}.toml", request.name),
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

fn base(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
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
        notes.push(format!("{} files cannot be read and are left out; `vqkit inspect` names them.", plan.bad.len()));
    }
    if plan.captioned > 0 && !found.has_captions() {
        notes.push(format!(
            "{} of {} images that were looked at have a caption; the recipe uses captions only where all have one.",
            plan.captioned, plan.looked_at
        ));
    }
    let least = plan.of_class.iter().min_by_key(|(_, count)| **count);
    if let Some((class, count)) = least.filter(|(_, count)| plan.num_classes > 1 && **count * 20 < plan.looked_at) {
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
