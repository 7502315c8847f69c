//! The verb `quantizers`: one recipe trained with every quantizer, and the table of what came of it.

mod finished;
mod members;
mod recipe;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, root, run, status};
use crate::terminal::say;
use crate::{demo, forward, setup};
use finished::State;
use members::{MEMBERS, Member, VARIED};

const RECIPE: &str = "configs/quantizers-cifar10.toml";
const RUNS: &str = "runs/quantizers";
const PAGE: &str = "docs/src/explanation/quantizers-cifar10.md";
const STEPS: u64 = 1500;
/// What `vqkit` exits with when the user interrupted it.
const INTERRUPTED: i32 = 130;

/// Train one recipe with every quantizer and write a table of their metrics. Finished runs are not trained again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask quantizers --set data.root=FOLDER\n  cargo xtask quantizers --only vq ema --steps 50\n  \
                  cargo xtask quantizers --table-only"
)]
pub struct Options {
    /// Train these alone; the table has all that are finished
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Override a key of the recipe in every run
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Steps of each training
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Folder of the runs [default: runs/quantizers; with other --steps runs/quantizers-N-steps]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Page that the table goes into [default: docs/src/explanation/quantizers-cifar10.md; with other --steps or --runs table.md beside the runs]
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Train nothing: write the table of the runs that are finished
    #[arg(long, conflicts_with = "only")]
    table_only: bool,
}

/// What is to be done, in absolute paths.
struct Plan {
    chosen: Vec<&'static Member>,
    set: Vec<String>,
    steps: u64,
    runs: PathBuf,
    page: PathBuf,
}

/// Trains what is missing, and writes the table again after each run.
pub fn quantizers(options: &Options) -> Result<ExitCode> {
    let plan = Plan::new(options)?;
    if options.table_only {
        plan.write_table()?;
        return Ok(ExitCode::SUCCESS);
    }
    let missing = plan.missing()?;
    plan.announce(&missing)?;
    let mut failed = Vec::new();
    if !missing.is_empty() {
        setup::ensure()?;
        run(&mut cargo(&["build", "--release", "--package", "vqkit-cli"]))?;
        failed = plan.train_all(&missing)?;
    }
    let written = plan.write_table();
    ensure!(failed.is_empty(), "no metrics of {}: see what vqkit said above", failed.join(", "));
    written.map(|()| ExitCode::SUCCESS)
}

impl Plan {
    fn new(options: &Options) -> Result<Self> {
        if let Some(pair) = options.set.iter().find(|pair| is_the_members(pair)) {
            bail!("--set {pair}: the table sets this key itself (see xtask/src/quantizers/members.rs, and --steps)");
        }
        let usual = options.steps == STEPS;
        let runs = match &options.runs {
            Some(runs) => std::path::absolute(runs)?,
            None if usual => root().join(RUNS),
            None => root().join(format!("{RUNS}-{}-steps", options.steps)),
        };
        let page = match &options.page {
            Some(page) => std::path::absolute(page)?,
            None if usual && options.runs.is_none() => root().join(PAGE),
            None => runs.join("table.md"),
        };
        let chosen = members::chosen(&options.only)?;
        Ok(Self { chosen, set: options.set.clone(), steps: options.steps, runs, page })
    }

    fn overrides(&self, member: &Member) -> Vec<String> {
        let ours = member.overrides(self.steps).into_iter().chain(for_steps(self.steps));
        let key = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
        let is_set = |pair: &String| self.set.iter().any(|set| key(set) == key(pair));
        ours.filter(|pair| !is_set(pair)).chain(self.set.iter().cloned()).collect()
    }

    /// The chosen that are not finished; a finished run of another recipe is an error.
    fn missing(&self) -> Result<Vec<&'static Member>> {
        let mut missing = Vec::new();
        for &member in &self.chosen {
            let folder = self.runs.join(member.name);
            if finished::state(&folder)? != State::Finished {
                missing.push(member);
                continue;
            }
            recipe::check(&finished::recipe(&folder)?, &self.overrides(member)).with_context(|| {
                format!(
                    "{} is finished, but with other settings than requested (remove it, or name other --runs)",
                    shown(&folder)
                )
            })?;
        }
        Ok(missing)
    }

    fn announce(&self, missing: &[&Member]) -> Result<()> {
        let path = root().join(RECIPE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        say!("{RECIPE}, {} steps, with one quantizer after another:\n\n{}", self.steps, demo::header(&text));
        let names: Vec<_> = missing.iter().map(|member| member.name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        say!("{} finished, {} to train: {names}", self.chosen.len() - missing.len(), missing.len());
        say!("runs: {}   table: {}", shown(&self.runs), shown(&self.page));
        if missing.len() > 1 {
            say!(
                "After the first run it says how long the rest will take; a call that is interrupted continues when repeated."
            );
        }
        Ok(())
    }

    /// Trains one after the other, and returns the names of those that failed.
    fn train_all(&self, missing: &[&'static Member]) -> Result<Vec<&'static str>> {
        let (mut failed, mut taken) = (Vec::new(), Vec::new());
        for (number, member) in missing.iter().enumerate() {
            let started = Instant::now();
            if !self.train(member)? {
                say!("{}: failed", member.name);
                failed.push(member.name);
                continue;
            }
            taken.push(started.elapsed());
            self.write_page()?;
            let metrics = finished::metrics(&self.runs.join(member.name))?;
            let left = missing.len() - number - 1;
            say!("{}: {}; {}", member.name, table::summary(&metrics), pace(&taken, left));
        }
        Ok(failed)
    }

    /// Trains one, or continues an interrupted run; returns whether it succeeded.
    fn train(&self, member: &Member) -> Result<bool> {
        let mut command = forward::binary("train");
        command.arg(root().join(RECIPE)).arg("--run").arg(self.runs.join(member.name)).arg("--resume");
        for pair in self.overrides(member) {
            command.args(["--set", &pair]);
        }
        let status = status(command.current_dir(std::env::current_dir()?))?;
        if matches!(status.code(), None | Some(INTERRUPTED)) {
            bail!("{} was interrupted ({status}); the same call continues from there", member.name);
        }
        Ok(status.success())
    }

    /// Writes the page with all that is finished, chosen or not; how many rows its table has.
    fn write_page(&self) -> Result<usize> {
        let (rows, conditions) = table::read(&self.runs, &members::chosen(&[])?)?;
        let Some(conditions) = conditions else { return Ok(0) };
        let old = self.page.exists().then(|| fs::read_to_string(&self.page)).transpose();
        let old = old.with_context(|| format!("cannot read {}", self.page.display()))?;
        let page = table::into_page(old.as_deref(), &table::markdown(&rows, &conditions));
        let page = page.with_context(|| format!("{} cannot take the table", self.page.display()))?;
        fs::write(&self.page, page).with_context(|| format!("cannot write {}", self.page.display()))?;
        Ok(rows.len())
    }

    /// As [`Plan::write_page`], and says where the table is.
    fn write_table(&self) -> Result<()> {
        let rows = self.write_page()?;
        ensure!(rows > 0, "no run below {} is finished: there is no table to write", shown(&self.runs));
        say!("\nThe table, {rows} of {} quantizers: {}", MEMBERS.len(), shown(&self.page));
        Ok(())
    }
}

/// What is laid over the recipe for this many steps: a short trial warms up and writes its log as much sooner.
fn for_steps(steps: u64) -> Vec<String> {
    let mut pairs = vec![format!("tokenizer.train.steps={steps}")];
    if steps != STEPS {
        pairs.push(format!("tokenizer.train.schedule.warmup_steps={}", steps / 15));
        pairs.push(format!("tokenizer.train.log_every={}", (steps / 60).max(1)));
    }
    pairs
}

/// Whether a `KEY=VALUE` is about what the members and `--steps` set.
fn is_the_members(pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default().trim();
    let Some(below) = key.strip_prefix("tokenizer") else { return false };
    let first = below.trim_start_matches('.').split('.').next().unwrap_or_default();
    VARIED.contains(&first) || ["", ".train", ".train.steps"].contains(&below)
}

/// How long the last run took, and how long those that are left will take at the mean pace.
fn pace(taken: &[Duration], left: usize) -> String {
    let minutes = |duration: Duration| format!("{:.1} min", duration.as_secs_f64() / 60.0);
    let last = taken.last().copied().unwrap_or_default();
    let mean = taken.iter().sum::<Duration>() / u32::try_from(taken.len().max(1)).unwrap_or(u32::MAX);
    let rest = mean * u32::try_from(left).unwrap_or(u32::MAX);
    if left == 0 { minutes(last) } else { format!("{}, {left} left: about {}", minutes(last), minutes(rest)) }
}

/// A path relative to the root of the checkout, if it is below it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use finished::tests::fake;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(words: &[&str]) -> Result<Plan> {
        Plan::new(&Line::try_parse_from(["quantizers"].iter().chain(words))?.options)
    }

    #[test]
    fn a_trial_with_few_steps_touches_neither_runs_nor_page_of_the_real_table() {
        let real = plan(&[]).unwrap();
        assert_eq!((real.runs, real.page, real.steps), (root().join(RUNS), root().join(PAGE), 1500));
        assert_eq!(real.chosen.len(), MEMBERS.len());
        let trial = plan(&["--only", "vq", "ema", "--steps", "50"]).unwrap();
        let runs = root().join("runs/quantizers-50-steps");
        assert_eq!((trial.page, trial.runs), (runs.join("table.md"), runs));
        assert_eq!(trial.chosen.len(), 2);
        let elsewhere = root().join("runs/elsewhere");
        let named = plan(&["--runs", elsewhere.to_str().unwrap()]).unwrap();
        assert_eq!((named.page, named.runs), (elsewhere.join("table.md"), elsewhere));
    }

    #[test]
    fn every_run_gets_what_is_set_behind_what_its_member_sets() {
        let plan = plan(&["--only", "ema", "--set", "seed=1", "--set", "data.root=x"]).unwrap();
        let overrides = plan.overrides(plan.chosen[0]);
        assert!(overrides[0].starts_with("tokenizer.quantizer={ type = \"ema\""), "{overrides:?}");
        assert_eq!(overrides[1..], ["tokenizer.train.steps=1500", "seed=1", "data.root=x"]);
    }

    #[test]
    fn a_trial_warms_up_and_logs_sooner_unless_it_is_told_when() {
        let trial = plan(&["--only", "ema", "--steps", "30", "--set", "tokenizer.train.log_every=5"]).unwrap();
        let steps =
            ["tokenizer.train.steps=30", "tokenizer.train.schedule.warmup_steps=2", "tokenizer.train.log_every=5"];
        assert_eq!(trial.overrides(trial.chosen[0])[1..], steps);
        let recipe = fs::read_to_string(root().join(RECIPE)).unwrap().parse().unwrap();
        let usual =
            ["steps=1500", "schedule.warmup_steps=100", "log_every=25"].map(|pair| format!("tokenizer.train.{pair}"));
        assert_eq!((STEPS / 15, STEPS / 60), (100, 25));
        recipe::check(&recipe, &usual).unwrap();
    }

    #[test]
    fn what_the_table_sets_itself_cannot_be_set() {
        for pair in ["tokenizer.quantizer.type=vq", "tokenizer.embed_dim=4", "tokenizer.train.steps=9", "tokenizer={}"]
        {
            assert!(plan(&["--set", pair]).is_err_and(|error| error.to_string().contains(pair)), "{pair}");
        }
        for pair in ["tokenizer.train.batch_size=8", "tokenizer.channels=64", "seed=1"] {
            assert!(plan(&["--set", pair]).is_ok(), "{pair}");
        }
        for line in [&["--steps", "0"][..], &["--only"], &["--only", "vqq"], &["--table-only", "--only", "vq"]] {
            assert!(plan(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_finished_run_is_not_trained_again_and_one_of_another_recipe_is_refused() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().to_str().unwrap();
        fake(&runs.path().join("vq"), 20.0, 2);
        let names = |plan: &Plan| plan.missing().map(|missing| missing.iter().map(|m| m.name).collect::<Vec<_>>());
        assert_eq!(names(&plan(&["--runs", folder, "--only", "vq", "ema"]).unwrap()).unwrap(), ["ema"]);
        for line in [&["--steps", "30"][..], &["--set", "seed=1"]] {
            let plan = plan(&[&["--runs", folder, "--only", "vq"], line].concat()).unwrap();
            let error = format!("{:#}", names(&plan).unwrap_err());
            assert!(error.contains("vq is finished, but with other settings than requested"), "{error}");
        }
    }

    #[test]
    fn the_page_is_written_from_the_runs_alone() {
        let runs = tempfile::tempdir().unwrap();
        let (folder, page) = (runs.path().to_str().unwrap(), runs.path().join("page.md"));
        let line = ["--table-only", "--runs", folder, "--page", page.to_str().unwrap()];
        let options = Line::try_parse_from(["quantizers"].iter().chain(&line)).unwrap().options;
        assert!(quantizers(&options).unwrap_err().to_string().contains("is finished"));
        fake(&runs.path().join("vq"), 20.0, 2);
        quantizers(&options).unwrap();
        assert!(fs::read_to_string(&page).unwrap().contains("| `vq` |"));
        fs::write(&page, "# Mine\n").unwrap();
        assert!(format!("{:#}", quantizers(&options).unwrap_err()).contains("page.md cannot take the table"));
        assert_eq!(fs::read_to_string(&page).unwrap(), "# Mine\n");
    }

    #[test]
    fn the_time_left_follows_the_mean() {
        let taken = [Duration::from_secs(120), Duration::from_secs(180)];
        assert_eq!(pace(&taken, 2), "3.0 min, 2 left: about 5.0 min");
        assert_eq!(pace(&taken, 0), "3.0 min");
    }
}
