//! How long a recipe takes on this machine, and what room it needs, from a short run of it.

mod plan;
mod probe;
mod stopwatch;

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;
use vqkit_models::inherit;
use vqkit_recipe::{Recipe, Train};
use vqkit_run::{Context, Invocation, RunError};
use vqkit_torch::{memory, memory::format_bytes};

use crate::{
    error::Result,
    estimate::{plan::Phase, probe::Probe},
    stages::Stage,
};

/// Steps of the run that only shows how many steps the measurement can afford.
const TRIAL_STEPS: u64 = 4;

/// The fewest and the most steps that are measured.
const MEASURED_STEPS: (u64, u64) = (8, 500);

/// What a recipe takes on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// The name in the recipe.
    pub name: String,
    /// The device.
    pub device: String,
    /// Threads of one operation.
    pub threads: usize,
    /// `fp32` or `bf16`.
    pub precision: String,
    /// What its stages take, in order.
    pub stages: Vec<StageEstimate>,
    /// All stages together, in seconds.
    pub seconds: f64,
    /// The most memory that the process takes, in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
    /// The most memory that tensors take on the GPU, in bytes; none on the CPU.
    pub gpu_memory_bytes: Option<u64>,
    /// The run folder at its end, in bytes.
    pub disk_bytes: u64,
    /// How long was measured, in seconds.
    pub measured_seconds: f64,
}

/// What a stage takes.
#[derive(Debug, Clone, Serialize)]
pub struct StageEstimate {
    /// Its name.
    pub name: String,
    /// Its steps, if it trains.
    pub steps: Option<u64>,
    /// A step, in seconds; with a discriminator, one in which it is trained.
    pub step_seconds: Option<f64>,
    /// All of it, in seconds.
    pub seconds: f64,
    /// Its files, in bytes.
    pub disk_bytes: u64,
}

/// Runs every stage of a recipe for some steps or images, for about `budget` in all, in a temporary folder, and computes from that
/// what all of it would take.
///
/// A training stage is its start, its steps, and its validations; steps without and with the discriminator are measured apart. Files
/// are read from the first images of the data only, so what the operating system keeps in memory of them counts.
///
/// # Errors
/// As those of a run of the recipe.
pub fn estimate(recipe: Recipe, budget: Duration, context: &Context) -> Result<Estimate> {
    let begun = Instant::now();
    let recipe = inherit::resolve(recipe, None)?;
    let folder = tempfile::tempdir().map_err(|source| RunError::io("create", &std::env::temp_dir(), source))?;
    let trained = Stage::of(&recipe).into_iter().filter(|stage| stage.train_of(&recipe).is_some()).count();

    let trial = plan::shortened(&recipe, |_| TRIAL_STEPS, Phase::Alone);
    let before_samples = |stage: &Stage| !matches!(stage, Stage::Samples | Stage::Report);
    let trial = Probe::run(&trial, before_samples, &folder.path().join("trial"), context)?;
    let parts = trained + plan::adversarial(&recipe).len();
    let share = budget.as_secs_f64() / parts.max(1) as f64;
    let steps = |stage: &Stage| {
        let (fewest, most) = MEASURED_STEPS;
        let step = trial.lap(stage).and_then(|lap| lap.step).map_or(f64::INFINITY, |step| step.as_secs_f64());
        ((share / step) as u64).clamp(fewest, most)
    };
    let measured = plan::shortened(&recipe, steps, Phase::Alone);
    let measured = Probe::run(&measured, |_| true, &folder.path().join("measured"), context)?;
    let adversarial = match plan::adversarial(&recipe) {
        stages if stages.is_empty() => None,
        stages => {
            let recipe = plan::shortened(&recipe, steps, Phase::Adversarial);
            Some(Probe::run(&recipe, |stage| stages.contains(stage), &folder.path().join("adversarial"), context)?)
        }
    };

    let stages: Vec<_> =
        measured.laps.iter().map(|(stage, _)| of_stage(&recipe, stage, &measured, adversarial.as_ref())).collect();
    let call = Invocation::of_process(context, recipe.head.precision, recipe.head.seed);
    Ok(Estimate {
        name: recipe.head.name.clone(),
        device: call.device,
        threads: call.threads as usize,
        precision: call.precision,
        seconds: stages.iter().map(|stage| stage.seconds).sum(),
        disk_bytes: stages.iter().map(|stage| stage.disk_bytes).sum(),
        stages,
        memory_bytes: memory::process_peak_bytes(),
        gpu_memory_bytes: memory::peak_bytes(context.device)?,
        measured_seconds: begun.elapsed().as_secs_f64(),
    })
}

impl Estimate {
    /// The same with other numbers of steps for the stages that `steps` knows.
    pub fn with_steps(mut self, steps: impl Fn(&str) -> Option<u64>) -> Self {
        for stage in &mut self.stages {
            let (Some(old), Some(new)) = (stage.steps, steps(&stage.name)) else { continue };
            stage.seconds *= new as f64 / old.max(1) as f64;
            stage.steps = Some(new);
        }
        self.seconds = self.stages.iter().map(|stage| stage.seconds).sum();
        self
    }

    /// Time, memory and disk in one line.
    pub fn summary(&self) -> String {
        let memory = self.memory_bytes.map_or(String::new(), |bytes| format!("{} of memory, ", format_bytes(bytes)));
        format!("{}, {memory}{} on the disk.", in_words(self.seconds), format_bytes(self.disk_bytes))
    }
}

fn of_stage(recipe: &Recipe, stage: &Stage, probe: &Probe, adversarial: Option<&Probe>) -> StageEstimate {
    let name = stage.name(recipe);
    let lap = probe.lap(stage).cloned().unwrap_or_default();
    let (whole, bytes) = (lap.whole.as_secs_f64(), probe.bytes.get(&name).copied().unwrap_or(0) as f64);
    let ratio = |(part, all): (usize, usize)| all as f64 / part.max(1) as f64;
    let images = (probe.train.0 + probe.validation.0, probe.train.1 + probe.validation.1);
    let (seconds, disk) = match (stage, stage.train_of(recipe), lap.step) {
        (_, Some(train), Some(step)) => {
            let alone = plan::steps_alone(recipe, stage, train).min(train.steps);
            let together = adversarial.and_then(|probe| probe.lap(stage)?.step).unwrap_or(step);
            let steps = step.as_secs_f64() * alone as f64 + together.as_secs_f64() * (train.steps - alone) as f64;
            let seconds = lap.start.as_secs_f64() + steps + validations(train, probe) * lap.end.as_secs_f64();
            return StageEstimate {
                name,
                steps: Some(train.steps),
                step_seconds: Some(if alone < train.steps { together } else { step }.as_secs_f64()),
                seconds,
                // The best one beside the latest.
                disk_bytes: (bytes * (train.keep + 1) as f64) as u64,
            };
        }
        (Stage::Tokens, ..) => (whole * ratio(images), bytes * ratio(images)),
        (Stage::Samples, ..) => {
            let all = ratio((probe.samples, recipe.sample.count));
            (whole * all, bytes * all)
        }
        (Stage::Report, ..) => (whole * ratio(probe.validation), bytes),
        _ => (whole, bytes),
    };
    StageEstimate { name, steps: None, step_seconds: None, seconds, disk_bytes: disk as u64 }
}

/// The number of validations, in units of the probe's, which had fewer images.
fn validations(train: &Train, probe: &Probe) -> f64 {
    let images = |count: usize| train.validate_samples.min(count).max(1) as f64;
    train.steps.div_ceil(train.validate_every) as f64 * images(probe.validation.1) / images(probe.validation.0)
}

impl fmt::Display for Estimate {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, device, threads, precision, measured_seconds, .. } = self;
        writeln!(
            out,
            "recipe `{name}` on {device}, {threads} threads, {precision}; measured in {}",
            in_words(*measured_seconds)
        )?;
        writeln!(out, "  {:<16} {:>9} {:>12} {:>14} {:>12}", "stage", "steps", "a step", "time", "disk")?;
        for StageEstimate { name, steps, step_seconds, seconds, disk_bytes } in &self.stages {
            let steps = steps.map_or(String::new(), |steps| steps.to_string());
            let step = step_seconds.map_or(String::new(), |seconds| format!("{:.1} ms", seconds * 1e3));
            let (time, disk) = (in_words(*seconds), format_bytes(*disk_bytes));
            writeln!(out, "  {name:<16} {steps:>9} {step:>12} {time:>14} {disk:>12}")?;
        }
        let (time, disk) = (in_words(self.seconds), format_bytes(self.disk_bytes));
        writeln!(out, "  {:<16} {:>9} {:>12} {time:>14} {disk:>12}", "all", "", "")?;
        let memory = [("memory", self.memory_bytes), ("memory of the GPU", self.gpu_memory_bytes)];
        memory.iter().try_for_each(|(what, bytes)| {
            bytes.map_or(Ok(()), |bytes| writeln!(out, "{what}: at most {}", format_bytes(bytes)))
        })
    }
}

/// A duration for people, to two units: `2 h 5 min`, `3 min 20 s`, `14 s`.
fn in_words(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 => format!("{seconds:.1} s"),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        assert_eq!(in_words(0.42), "0.4 s");
        assert_eq!(in_words(59.6), "1 min 0 s");
        assert_eq!(in_words(200.0), "3 min 20 s");
        assert_eq!(in_words(7_512.0), "2 h 5 min");
    }
}
