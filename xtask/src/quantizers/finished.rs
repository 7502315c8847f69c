//! The state of a run from its files: whether it is finished, its metrics, and the conditions of their measurement.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toml::Table;

use super::recipe;

/// A line of the log with this metric was written after a measurement on validation data.
const MEASURED: &str = "validation_psnr_db";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Missing,
    /// It was begun.
    CutOff,
    /// Every stage is done.
    Finished,
}

/// The metrics of a finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// PSNR of the reconstructions.
    pub psnr_db: f64,
    /// Fréchet distance of the evaluation classifier's features; none where it cannot take such images.
    pub fd_vgg_cifar10: Option<f64>,
    /// Codebooks, each of which gives a position a code.
    pub codebooks: u64,
    /// Codes of each.
    pub codes: u64,
    /// Share of the codes in use, mean over the codebooks.
    pub usage: f64,
    /// Perplexity, mean over the codebooks.
    pub perplexity: f64,
    /// Median seconds of a step; none where the log is too short to tell.
    pub step_seconds: Option<f64>,
}

/// The conditions under which the metrics were measured. Only runs with the same conditions share a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// In words, for the table's head.
    pub words: String,
    /// The recipe, without what differs from quantizer to quantizer.
    recipe: String,
}

/// How far the run in `folder` is.
pub fn state(folder: &Path) -> Result<State> {
    if !folder.exists() {
        return Ok(State::Missing);
    }
    let record = json(&folder.join("run.json"))?;
    let stages = record["stages"].as_array().map_or(&[][..], Vec::as_slice);
    let is_done = stages.iter().any(|stage| stage["name"] == "report" && !stage["done"].is_null());
    Ok(if is_done { State::Finished } else { State::CutOff })
}

/// The resolved recipe of the run in `folder`.
pub fn recipe(folder: &Path) -> Result<Table> {
    let path = folder.join("recipe.toml");
    text(&path)?.parse().with_context(|| format!("{} is no TOML", path.display()))
}

/// The metrics of the finished run in `folder`.
pub fn metrics(folder: &Path) -> Result<Metrics> {
    let path = folder.join("report/metrics.json");
    let metrics = json(&path)?;
    let read = || -> Result<Metrics> {
        Ok(Metrics {
            psnr_db: number(&metrics, "/reconstruction_psnr_db")?,
            fd_vgg_cifar10: metrics["reconstruction_fd_vgg_cifar10"].as_f64(),
            codebooks: whole(&metrics, "/levels/0/codebooks")?,
            codes: whole(&metrics, "/levels/0/codes")?,
            usage: number(&metrics, "/levels/0/usage")?,
            perplexity: number(&metrics, "/levels/0/perplexity")?,
            step_seconds: step_seconds(&text(&folder.join("log.jsonl"))?),
        })
    };
    read().with_context(|| format!("cannot use {}", path.display()))
}

/// On what the finished run in `folder` was made and measured.
pub fn conditions(folder: &Path) -> Result<Conditions> {
    let (record, metrics) = (json(&folder.join("run.json"))?, json(&folder.join("report/metrics.json"))?);
    let table = recipe(folder)?;
    let setting = |key: &str| {
        let found = recipe::find(&table, key).map(ToString::to_string);
        found.with_context(|| format!("{}: its recipe has no {key}", folder.display()))
    };
    let called = |key: &str| word(&record, &format!("/call/{key}"));
    let words = format!(
        "{} steps of {} images, seed {}, measured on {} validation images; {}, {} threads, {}, libtorch {}",
        setting("tokenizer.train.steps")?,
        setting("tokenizer.train.batch_size")?,
        setting("seed")?,
        word(&metrics, "/protocol/validation_images")?,
        called("device")?,
        called("threads")?,
        called("precision")?,
        called("libtorch")?,
    );
    Ok(Conditions { words, recipe: recipe::shared(&table) })
}

impl Conditions {
    /// Refuses conditions that are not these.
    pub fn check_alike(&self, others: &Self) -> Result<()> {
        if self == others {
            return Ok(());
        }
        let lines = |conditions: &Self| format!("{}\n{}", conditions.words, conditions.recipe);
        let (ours, theirs) = (lines(self), lines(others));
        let differ = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
        let (ours, theirs) = differ.unwrap_or(("a shorter or longer recipe", "this one"));
        bail!("`{ours}` there, `{theirs}` here");
    }
}

/// The median over the log of the tokenizer's seconds a step. Each pair of lines that follow each other counts, but for those
/// with a measurement between them and those of two processes; what comes before the first line does not.
fn step_seconds(log: &str) -> Option<f64> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["stage"] == "tokenizer").collect();
    let mut paces: Vec<f64> = lines.windows(2).filter_map(|pair| pace(&pair[0], &pair[1])).collect();
    paces.sort_by(f64::total_cmp);
    let (low, high) = (paces.len().checked_sub(1)? / 2, paces.len() / 2);
    Some(f64::midpoint(paces[low], paces[high]))
}

fn pace(from: &Value, to: &Value) -> Option<f64> {
    let steps = to["step"].as_u64()?.checked_sub(from["step"].as_u64()?).filter(|steps| *steps > 0)?;
    let seconds = to["seconds"].as_f64()? - from["seconds"].as_f64()?;
    (from.get(MEASURED).is_none() && seconds > 0.0).then(|| seconds / steps as f64)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn json(path: &Path) -> Result<Value> {
    serde_json::from_str(&text(path)?).with_context(|| format!("{} is no JSON", path.display()))
}

fn number(value: &Value, place: &str) -> Result<f64> {
    value.pointer(place).and_then(Value::as_f64).with_context(|| format!("it has no number at {place}"))
}

fn whole(value: &Value, place: &str) -> Result<u64> {
    value.pointer(place).and_then(Value::as_u64).with_context(|| format!("it has no whole number at {place}"))
}

/// A string or a number as it is read.
fn word(value: &Value, place: &str) -> Result<String> {
    match value.pointer(place) {
        Some(Value::String(word)) => Ok(word.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => bail!("run.json or metrics.json has nothing at {place}"),
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A finished run at `folder`: 1,500 steps, PSNR `psnr_db`, with `threads`.
    pub fn fake(folder: &Path, psnr_db: f64, threads: u32) {
        fs::create_dir_all(folder.join("report")).unwrap();
        let call = json!({ "device": "cpu", "threads": threads, "precision": "fp32", "libtorch": "2.11.0" });
        let stages = json!([{ "name": "tokenizer", "done": {} }, { "name": "report", "done": { "path": "report" } }]);
        write(folder, "run.json", &json!({ "call": call, "stages": stages }).to_string());
        let level = json!({ "positions": 64, "codebooks": 2, "codes": 32, "usage": 0.96875, "perplexity": 30.14 });
        let metrics = json!({
            "protocol": { "validation_images": 10_000 },
            "reconstruction_psnr_db": psnr_db,
            "reconstruction_fd_vgg_cifar10": 2.5,
            "levels": [level],
        });
        write(folder, "report/metrics.json", &metrics.to_string());
        let recipe = "seed = 0\n[tokenizer]\nembed_dim = 16\n[tokenizer.quantizer]\ntype = \"vq\"\ncodebook_size = 1024\n\
                      [tokenizer.train]\nsteps = 1500\nbatch_size = 16\n";
        write(folder, "recipe.toml", recipe);
        write(folder, "log.jsonl", &log(&[(25, 9.0, false), (50, 11.0, false), (75, 13.0, false)]));
    }

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    /// Lines of step, seconds, and whether it is one of a measurement.
    fn log(lines: &[(u64, f64, bool)]) -> String {
        let line = |&(step, seconds, measured): &(u64, f64, bool)| match measured {
            true => json!({ "stage": "tokenizer", "step": step, MEASURED: 20.0, "seconds": seconds }),
            false => json!({ "stage": "tokenizer", "step": step, "total": 1.0, "seconds": seconds }),
        };
        lines.iter().map(|entry| format!("{}\n", line(entry))).collect()
    }

    #[test]
    fn a_run_is_missing_cut_off_or_finished() {
        let parent = tempfile::tempdir().unwrap();
        let run = parent.path().join("vq");
        assert_eq!(state(&run).unwrap(), State::Missing);
        fake(&run, 20.0, 2);
        assert_eq!(state(&run).unwrap(), State::Finished);
        let stages = json!([{ "name": "tokenizer", "done": {} }, { "name": "report", "done": null }]);
        write(&run, "run.json", &json!({ "stages": stages }).to_string());
        assert_eq!(state(&run).unwrap(), State::CutOff);
        fs::remove_file(run.join("run.json")).unwrap();
        assert!(state(&run).unwrap_err().to_string().contains("run.json"));
    }

    #[test]
    fn figures_come_from_the_files() {
        let run = tempfile::tempdir().unwrap();
        fake(run.path(), 21.5, 2);
        let metrics = metrics(run.path()).unwrap();
        assert_eq!((metrics.psnr_db, metrics.fd_vgg_cifar10), (21.5, Some(2.5)));
        assert_eq!((metrics.codebooks, metrics.codes, metrics.step_seconds), (2, 32, Some(0.08)));
        let words = conditions(run.path()).unwrap().words;
        assert_eq!(
            words,
            "1500 steps of 16 images, seed 0, measured on 10000 validation images; cpu, 2 threads, fp32, libtorch 2.11.0"
        );
    }

    #[test]
    fn a_figure_that_is_not_there_is_named() {
        let run = tempfile::tempdir().unwrap();
        fake(run.path(), 21.5, 2);
        write(run.path(), "report/metrics.json", r#"{ "reconstruction_psnr_db": null }"#);
        let error = format!("{:#}", metrics(run.path()).unwrap_err());
        assert!(error.contains("metrics.json") && error.contains("/reconstruction_psnr_db"), "{error}");
    }

    #[test]
    fn a_step_is_timed_without_start_measurements_and_other_processes() {
        let lines = [
            (25, 60.0, false),
            (50, 62.5, false),
            (75, 65.5, false),
            (75, 90.0, true),
            (100, 99.0, false),
            (125, 1.0, false),
            (150, 6.0, false),
        ];
        assert_eq!(step_seconds(&log(&lines)), Some(0.12));
        let other =
            "{\"stage\":\"prior/0\",\"step\":50,\"seconds\":1}\n{\"stage\":\"prior/0\",\"step\":60,\"seconds\":9}\n";
        let broken = format!("{other}{}{{\"stage\":\"tok", log(&lines[..2]));
        assert_eq!(step_seconds(&broken), Some(0.1));
        assert_eq!(step_seconds(&log(&lines[..1])), None);
        assert_eq!(step_seconds(""), None);
    }

    #[test]
    fn other_conditions_are_refused_with_what_differs() {
        let parent = tempfile::tempdir().unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|name| parent.path().join(name));
        fake(&one, 20.0, 2);
        fake(&two, 20.0, 4);
        fake(&three, 20.0, 2);
        let recipe = fs::read_to_string(three.join("recipe.toml")).unwrap();
        write(&three, "recipe.toml", &recipe.replace("[tokenizer.train]", "[tokenizer.train]\nlearning_rate = 0.5"));
        let [one, two, three] = [one, two, three].map(|run| conditions(&run).unwrap());
        assert!(one.check_alike(&one.clone()).is_ok());
        assert!(one.check_alike(&two).unwrap_err().to_string().contains("4 threads"));
        assert!(one.check_alike(&three).unwrap_err().to_string().contains("learning_rate"));
    }
}
