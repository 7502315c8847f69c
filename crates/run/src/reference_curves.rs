//! Reference curves: what the metrics of a recipe were in a training that went well, and a band around each.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, RunError},
    events::EventLog,
    files, log,
};

/// The file of a run with the curves that it is compared with.
const OF_RUN: &str = "reference.csv";

/// The events of the same curves in a folder of their own, which TensorBoard shows as a run beside the run's.
const EVENTS_FOLDER: &str = "reference";
const EVENTS: &str = "events.out.tfevents.0.vqkit";

/// The metrics that say how training goes; names of levels and of validation stand behind or before them.
const SHOWN: [&str; 7] =
    ["reconstruction", "perceptual", "usage", "perplexity", "bits_per_token", "loss", "accuracy_percent"];
const VALIDATION: &str = "validation_";

/// Points per curve that are kept.
const POINTS: usize = 40;
/// Readings on each side over which a curve is smoothed, where it has many.
const SIDE: usize = 2;
/// Half the width of the band, as a share of the value: other seeds end a little lower or higher.
const SHARE: f64 = 0.15;
/// Half its width in standard deviations of the readings about the smooth curve, where that is more.
const DEVIATIONS: f64 = 4.0;

/// A metric at a step, and what counts as near it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step.
    pub step: u64,
    /// The metric, smoothed.
    pub value: f64,
    /// The lowest value of the band.
    pub low: f64,
    /// The highest value of the band.
    pub high: f64,
}

/// Curves by stage and metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReferenceCurves(BTreeMap<(String, String), Vec<Point>>);

/// The columns of the CSV file.
const COLUMNS: [&str; 6] = ["stage", "metric", "step", "value", "low", "high"];

/// A line of the CSV file.
#[derive(Serialize, Deserialize)]
struct Row {
    stage: String,
    metric: String,
    step: u64,
    value: f64,
    low: f64,
    high: f64,
}

impl ReferenceCurves {
    /// The curves of what a run has logged, as a reference for others.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn of_log(run: &Path) -> Result<Self> {
        let mut readings: BTreeMap<(String, String), Vec<(u64, f64)>> = BTreeMap::new();
        for line in log::read(run)? {
            let (Some(stage), Some(step)) =
                (line.get("stage").and_then(|stage| stage.as_str()), line.get("step").and_then(|step| step.as_u64()))
            else {
                continue;
            };
            for (name, value) in line.iter().filter(|(name, _)| is_shown(name)) {
                if let Some(value) = value.as_f64() {
                    readings.entry((stage.to_owned(), name.clone())).or_default().push((step, value));
                }
            }
        }
        Ok(Self(readings.into_iter().map(|(key, readings)| (key, curve(&readings))).collect()))
    }

    /// Reads a CSV file with the columns stage, metric, step, value, low and high.
    ///
    /// # Errors
    /// When it is missing, is not such a file, the steps of a curve do not rise, or a band has no finite width.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |error: csv::Error| RunError::artifact(path, error.to_string());
        let mut reader = csv::Reader::from_path(path).map_err(refuse)?;
        let headers = reader.headers().map_err(refuse)?;
        if let Some(column) = COLUMNS.iter().find(|column| !headers.iter().any(|header| header == **column)) {
            return Err(RunError::artifact(path, format!("lacks the column `{column}`")));
        }
        let mut curves = Self::default();
        for row in reader.into_deserialize() {
            let Row { stage, metric, step, value, low, high } = row.map_err(refuse)?;
            let points = curves.0.entry((stage, metric.clone())).or_default();
            let rises = points.last().is_none_or(|last: &Point| last.step < step);
            if !rises || ![value, low, high].iter().all(|number| number.is_finite()) || low > high {
                let reason =
                    format!("`{metric}` has no band at step {step}, or comes late: {value}, from {low} to {high}");
                return Err(RunError::artifact(path, reason));
            }
            points.push(Point { step, value, low, high });
        }
        Ok(curves)
    }

    /// The curves that a run is compared with; `None` where its recipe came without.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_run(run: &Path) -> Result<Option<Self>> {
        let path = run.join(OF_RUN);
        path.is_file().then(|| Self::read(&path)).transpose()
    }

    /// Makes these the curves that a run is compared with, and shows them to TensorBoard.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn accompany(&self, run: &Path) -> Result<()> {
        self.write(&run.join(OF_RUN))?;
        let events = files::make_inside(run, Path::new(EVENTS_FOLDER))?.join(EVENTS);
        let mut log = EventLog::open(&events)?;
        for ((stage, metric), points) in &self.0 {
            for point in points {
                log.scalar(&format!("{stage}/{metric}"), point.value, point.step)?;
            }
        }
        log.flush()
    }

    /// Writes the CSV file that [`read`](Self::read) reads.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let refuse = |error: String| RunError::artifact(path, error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        for ((stage, metric), points) in &self.0 {
            for &Point { step, value, low, high } in points {
                let [value, low, high] = [value, low, high].map(significant);
                let row = Row { stage: stage.clone(), metric: metric.clone(), step, value, low, high };
                writer.serialize(row).map_err(|error| refuse(error.to_string()))?;
            }
        }
        files::write(path, &writer.into_inner().map_err(|error| refuse(error.to_string()))?)
    }

    /// The curve of a metric; empty where there is none.
    pub fn points(&self, stage: &str, metric: &str) -> &[Point] {
        self.0.get(&(stage.to_owned(), metric.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The curve at a step, between its points; `None` before the first and behind the last.
    pub fn at(&self, stage: &str, metric: &str, step: u64) -> Option<Point> {
        let points = self.points(stage, metric);
        let behind = points.partition_point(|point| point.step < step);
        let after = points.get(behind)?;
        let before = match behind.checked_sub(1) {
            Some(before) => &points[before],
            None if after.step == step => after,
            None => return None,
        };
        let share = (step - before.step) as f64 / (after.step - before.step).max(1) as f64;
        let between = |of: fn(&Point) -> f64| of(before) + share * (of(after) - of(before));
        Some(Point {
            step,
            value: between(|point| point.value),
            low: between(|point| point.low),
            high: between(|point| point.high),
        })
    }
}

fn is_shown(metric: &str) -> bool {
    metric.starts_with(VALIDATION) || SHOWN.iter().any(|name| metric.starts_with(name))
}

/// Four significant digits: more would only make the file larger.
fn significant(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// A smooth curve through readings, with its band, at no more than [`POINTS`] steps.
fn curve(readings: &[(u64, f64)]) -> Vec<Point> {
    let side = if readings.len() > 4 * SIDE { SIDE } else { 0 };
    let window =
        |index: usize, side: usize| &readings[index.saturating_sub(side)..(index + side + 1).min(readings.len())];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let smooth: Vec<f64> = (0..readings.len())
        .map(|index| mean(&window(index, side).iter().map(|reading| reading.1).collect::<Vec<_>>()))
        .collect();
    let squares: Vec<f64> =
        readings.iter().zip(&smooth).map(|(reading, smooth)| (reading.1 - smooth).powi(2)).collect();
    let point = |index: usize| {
        let near = &squares[index.saturating_sub(2 * side)..(index + 2 * side + 1).min(squares.len())];
        let half = (DEVIATIONS * mean(near).sqrt()).max(SHARE * smooth[index].abs());
        let value = smooth[index];
        Point { step: readings[index].0, value, low: value - half, high: value + half }
    };
    let every = readings.len().div_ceil(POINTS).max(1);
    (0..readings.len()).rev().step_by(every).rev().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::StageLog;

    fn falling(scale: f64) -> impl Fn(u64) -> f64 {
        move |step| {
            scale * (0.1 + 1.0 / (1.0 + step as f64 / 50.0)) * if (step / 10).is_multiple_of(2) { 1.02 } else { 0.98 }
        }
    }

    fn run_with(loss: impl Fn(u64) -> f64) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        let mut log = StageLog::open(run.path(), "tokenizer").unwrap();
        for step in (10..=1000).step_by(10) {
            log.metrics(step, &[("reconstruction".into(), loss(step)), ("gradient_norm".into(), 1.0)]).unwrap();
        }
        run
    }

    #[test]
    fn the_curves_of_a_log_come_back_from_their_file() {
        let run = run_with(falling(1.0));
        let curves = ReferenceCurves::of_log(run.path()).unwrap();
        assert!(curves.points("tokenizer", "gradient_norm").is_empty());
        let points = curves.points("tokenizer", "reconstruction");
        assert!(points.len() <= POINTS && points.last().unwrap().step == 1000, "{}", points.len());
        curves.accompany(run.path()).unwrap();
        let read = ReferenceCurves::of_run(run.path()).unwrap().unwrap();
        for (written, read) in points.iter().zip(read.points("tokenizer", "reconstruction")) {
            assert_eq!(written.step, read.step);
            assert!((written.value - read.value).abs() < 1e-3 * written.value);
        }
        assert!(run.path().join(EVENTS_FOLDER).join(EVENTS).metadata().unwrap().len() > 500);
    }

    #[test]
    fn a_curve_says_nothing_of_steps_outside_of_it() {
        let run = run_with(falling(1.0));
        let curves = ReferenceCurves::of_log(run.path()).unwrap();
        let first = curves.points("tokenizer", "reconstruction")[0].step;
        assert_eq!(curves.at("tokenizer", "reconstruction", first - 1), None);
        assert!(curves.at("tokenizer", "reconstruction", first).is_some());
        assert_eq!(curves.at("tokenizer", "reconstruction", 1001), None);
    }

    #[test]
    fn a_broken_file_is_refused() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(ReferenceCurves::of_run(run.path()).unwrap(), None);
        let columns = COLUMNS.join(",");
        let rows = [
            "tokenizer,loss,1,inf,0,1",
            "tokenizer,loss,1,1,NaN,2",
            "tokenizer,loss,1,1,2,0",
            "tokenizer,loss,one,1,0,2",
            "tokenizer,loss,2,1,0,2\ntokenizer,loss,2,1,0,2",
        ];
        let broken = rows.map(|row| format!("{columns}\n{row}\n"));
        for text in broken.iter().map(String::as_str).chain(["stage,metric,step\ntokenizer,loss,1\n"]) {
            std::fs::write(run.path().join(OF_RUN), text).unwrap();
            assert!(ReferenceCurves::of_run(run.path()).unwrap_err().to_string().contains(OF_RUN), "{text}");
        }
    }
}
