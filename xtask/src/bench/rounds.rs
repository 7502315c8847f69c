//! Running a pair: the two sides by turns, so that a machine that slows down slows both.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::pairs::Pair;
use crate::cargo::{cargo, display, root, run as run_command};
use crate::terminal::say;
use crate::venv::PEERS;

/// What `.cargo/config.toml` sets for our programs: the peer runs as its users start it.
const OUR_SETTINGS: [&str; 7] = [
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
    "MIMALLOC_PURGE_DELAY",
    "MIMALLOC_ALLOW_LARGE_OS_PAGES",
];

/// One round of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// What our side printed.
    pub ours: Value,
    /// What the peer printed.
    pub theirs: Option<Value>,
    /// Our metric over the peer's, or the ratio that our side printed.
    pub ratio: f64,
}

/// What came of one pair.
pub struct Outcome {
    pub pair: &'static Pair,
    /// The rounds, or why there are none.
    pub rounds: Result<Vec<Round>, String>,
}

impl Round {
    /// The memory of our side over the peer's, where both report it: what the work took beyond what it works on, else the peak.
    pub fn memory_ratio(&self) -> Option<f64> {
        let theirs = self.theirs.as_ref()?;
        let ratio = |key| Some(metric(&self.ours, key).ok()? / metric(theirs, key).ok()?);
        ratio("extra_bytes").or_else(|| ratio("peak_bytes"))
    }

    /// A metric that our side printed, above 0.
    pub fn ours(&self, key: &str) -> Option<f64> {
        metric(&self.ours, key).ok()
    }
}

/// Builds our side, installs the peer's, and runs `count` rounds.
pub fn run(pair: &Pair, count: u32, threads: u32, data: Option<&Path>) -> Result<Vec<Round>> {
    let example = ["--release", "--package", pair.package, "--example", pair.example];
    run_command(cargo(&["build"]).args(example))?;
    let python = pair.peer.map(|_| PEERS.python()).transpose()?;
    let argument = pair.data.and_then(|file| Some(data?.join(file)));
    let prepare = |mut command: Command| {
        let threads = threads.to_string();
        command.args(&argument).args(pair.arguments).args([pair.threads, &threads]).env("OMP_NUM_THREADS", threads);
        command
    };
    let ours = || {
        let mut command = cargo(&["run", "--quiet"]);
        command.args(example).arg("--");
        metrics(prepare(command))
    };
    let theirs = || match (&python, pair.peer) {
        (Some(python), Some(peer)) => {
            let mut command = Command::new(python);
            for name in OUR_SETTINGS {
                command.env_remove(name);
            }
            command.arg(root().join("benches/peers").join(peer));
            metrics(prepare(command)).map(Some)
        }
        _ => Ok(None),
    };
    (0..count).map(|number| round(pair, number, &ours, &theirs)).collect()
}

/// One round; the sides change places from one to the next.
fn round(
    pair: &Pair,
    number: u32,
    ours: &impl Fn() -> Result<Value>,
    theirs: &impl Fn() -> Result<Option<Value>>,
) -> Result<Round> {
    let (ours, theirs) = if number.is_multiple_of(2) {
        let ours = ours()?;
        (ours, theirs()?)
    } else {
        let theirs = theirs()?;
        (ours()?, theirs)
    };
    let mine = metric(&ours, pair.metric)?;
    let ratio = match &theirs {
        Some(theirs) => mine / metric(theirs, pair.metric)?,
        None => mine,
    };
    say!("round {}: ratio {ratio:.2}   {ours}   {}", number + 1, theirs.as_ref().unwrap_or(&Value::Null));
    Ok(Round { ours, theirs, ratio })
}

/// The JSON that a program prints on its last line.
fn metrics(mut command: Command) -> Result<Value> {
    let line = display(&command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the last line of `{line}` is no JSON: {last}"))
}

fn metric(metrics: &Value, key: &str) -> Result<f64> {
    let found = metrics.get(key).and_then(Value::as_f64).filter(|metric| metric.is_finite() && *metric > 0.0);
    found.with_context(|| format!("`{key}` must be a number above 0 in {metrics}"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::bench::pairs::PAIRS;

    #[test]
    fn the_sides_take_turns_and_the_ratio_is_ours_over_theirs() {
        let pair = &PAIRS[0];
        let order = RefCell::new(String::new());
        let ours = || {
            order.borrow_mut().push('o');
            Ok(json!({ pair.metric: 600.0 }))
        };
        let theirs = || {
            order.borrow_mut().push('t');
            Ok(Some(json!({ pair.metric: 200.0 })))
        };
        let rounds: Vec<Round> = (0..2).map(|number| round(pair, number, &ours, &theirs).unwrap()).collect();
        assert_eq!(*order.borrow(), "otto");
        assert!(rounds.iter().all(|round| round.ratio == 3.0));
    }

    #[test]
    fn memory_is_compared_where_both_report_it() {
        let round = |ours, theirs| Round { ours, theirs, ratio: 1.0 }.memory_ratio();
        let peak = |bytes: u64| json!({ "peak_bytes": bytes });
        assert_eq!(round(peak(300), Some(peak(400))), Some(0.75));
        assert_eq!(round(peak(300), None), None);
        assert_eq!(round(json!({ "peak_bytes": null }), Some(peak(400))), None);
        let extra = |bytes: u64| json!({ "peak_bytes": 1000, "extra_bytes": bytes });
        assert_eq!(round(extra(10), Some(extra(100))), Some(0.1));
        assert_eq!(round(extra(10), Some(peak(2000))), Some(0.5));
    }

    #[test]
    fn a_figure_that_is_missing_or_nothing_is_an_error() {
        assert!(metric(&json!({ "rate": 2.0 }), "rate").is_ok());
        assert!(metric(&json!({ "rate": 0.0 }), "rate").is_err());
        assert!(metric(&json!({}), "rate").unwrap_err().to_string().contains("`rate`"));
    }
}
