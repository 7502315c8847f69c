//! Logs of a stage: `log.jsonl`, and the same metrics as TensorBoard events.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{error::Result, error::RunError, events::EventLog, files, rgb_image::RgbImage};

const LINES: &str = "log.jsonl";
const EVENTS: &str = "events.out.tfevents.0.vqkit";

/// Lengths of the logs of a run at some moment, so that a resumed run can truncate them to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOffsets {
    /// Length of `log.jsonl` in bytes.
    pub lines: u64,
    /// Length of the event file in bytes.
    pub events: u64,
}

/// The open logs of one stage.
pub struct StageLog {
    stage: String,
    path: PathBuf,
    lines: File,
    events: EventLog,
    started: Instant,
}

impl StageLog {
    /// Opens the logs of the run in `run` for appending.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn open(run: &Path, stage: &str) -> Result<Self> {
        let path = run.join(LINES);
        let lines = files::open_own(&path, OpenOptions::new().create(true).append(true))?;
        let events = EventLog::open(&run.join(EVENTS))?;
        Ok(Self { stage: stage.to_owned(), path, lines, events, started: Instant::now() })
    }

    /// Writes one line, and one event per metric. Metrics that are not finite become `null`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn metrics(&mut self, step: u64, metrics: &[(String, f64)]) -> Result<()> {
        let mut line = Map::new();
        line.insert("stage".into(), json!(self.stage));
        line.insert("step".into(), json!(step));
        for (name, value) in metrics {
            line.insert(name.clone(), json!(value));
            self.events.scalar(&format!("{}/{name}", self.stage), *value, step)?;
        }
        line.insert("seconds".into(), json!(self.started.elapsed().as_secs_f64()));
        let text = format!("{}\n", Value::Object(line));
        self.lines.write_all(text.as_bytes()).map_err(|source| RunError::io("write", &self.path, source))
    }

    /// Writes an image, only as an event.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn picture(&mut self, step: u64, name: &str, picture: &RgbImage) -> Result<()> {
        self.events.image(&format!("{}/{name}", self.stage), picture.png()?, picture.size(), step)
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.events.flush()
    }
}

/// Where the logs of the run in `run` end now.
pub fn offsets(run: &Path) -> LogOffsets {
    let length = |name: &str| run.join(name).metadata().map_or(0, |metadata| metadata.len());
    LogOffsets { lines: length(LINES), events: length(EVENTS) }
}

/// Truncates the logs of the run in `run` to earlier lengths.
///
/// # Errors
/// When a file cannot be written.
pub fn cut(run: &Path, offsets: LogOffsets) -> Result<()> {
    for (name, length) in [(LINES, offsets.lines), (EVENTS, offsets.events)] {
        let path = run.join(name);
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        let file = files::open_own(&path, OpenOptions::new().write(true))?;
        let cut = || -> io::Result<()> { file.set_len(length.min(file.metadata()?.len())) };
        cut().map_err(|source| RunError::io("cut back", &path, source))?;
    }
    Ok(())
}

/// The metrics of `log.jsonl`, line by line, if there are any; a last line that a killed process left half-written is ignored.
///
/// # Errors
/// When the file cannot be read.
pub fn read(run: &Path) -> Result<Vec<Map<String, Value>>> {
    let path = run.join(LINES);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| RunError::io("read", &path, source))?,
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
