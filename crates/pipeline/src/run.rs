//! The run folder: what an experiment writes, and how stages find each other's output.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{PipelineError, Result},
    files,
    log::LogOffsets,
    recipe::Recipe,
};

const RECIPE: &str = "recipe.toml";
const RECORD: &str = "run.json";
const LOCK: &str = ".lock";

/// A run folder. See `docs/formats.md` for its layout.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    record: Record,
    lock: Option<File>,
}

/// `run.json`: on what and by what call the run was made, and which stages are done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Version of vqkit that began the run.
    pub version: String,
    /// The circumstances of the latest call.
    pub call: Call,
    /// Every stage begun, in order.
    pub stages: Vec<StageRecord>,
}

/// The circumstances of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The command line.
    pub command: Vec<String>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// The arithmetic used: `fp32` or `bf16`.
    pub precision: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// The revision of the repository that the call was made in, if any.
    pub git: Option<String>,
    /// The recipe's seed.
    pub seed: u64,
}

/// What `run.json` says of a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name, which is also the stage's folder inside the run: `tokenizer`, `tokens`, `prior/0`.
    pub name: String,
    /// Where the logs ended when the stage began.
    pub began: LogOffsets,
    /// What it made, once it is done.
    pub done: Option<Output>,
}

/// What a stage made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Path inside the run.
    pub path: String,
    /// Fingerprint of its content.
    pub fingerprint: String,
}

impl Run {
    /// Makes a new run folder and takes its lock.
    ///
    /// # Errors
    /// When something stands at `path` already, or it cannot be written.
    pub fn create(path: &Path, recipe: &Recipe, call: Call) -> Result<Self> {
        if path.exists() {
            let path = path.display();
            return Err(PipelineError::Usage(format!(
                "{path} exists already: continue it with --resume, or choose another folder with --run"
            )));
        }
        let record = Record { version: env!("CARGO_PKG_VERSION").into(), call, stages: Vec::new() };
        let text = recipe.to_toml()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| PipelineError::io("create", parent, source))?;
        }
        files::create_folder(path, |folder| {
            files::write(&folder.join(RECIPE), text.as_bytes())?;
            files::write_json(&folder.join(RECORD), &record)
        })?;
        let mut run = Self { path: path.to_owned(), record, lock: None };
        run.lock()?;
        Ok(run)
    }

    /// Opens a run folder to read it.
    ///
    /// # Errors
    /// When there is none at `path`, or its `run.json` cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let record = path.join(RECORD);
        if !record.is_file() {
            let reason = format!("not a run folder: it holds no {RECORD}; a run is what `vqkit train` writes");
            return Err(PipelineError::artifact(path, reason));
        }
        Ok(Self { path: path.to_owned(), record: files::read_json(&record)?, lock: None })
    }

    /// Opens a run folder to go on with it: takes its lock, and notes the circumstances of this call.
    ///
    /// # Errors
    /// As [`Run::open`]; when another process works on it; when `recipe` is not the run's own.
    pub fn resume(path: &Path, recipe: &Recipe, call: Call) -> Result<Self> {
        let mut run = Self::open(path)?;
        run.lock()?;
        let (old, new) = (run.recipe()?.to_toml()?, recipe.to_toml()?);
        if let Some((was, is)) = old.lines().zip(new.lines()).find(|(was, is)| was != is) {
            let reason = format!("the run was begun with another recipe: `{was}` there, `{is}` now; use a new --run");
            return Err(PipelineError::artifact(path, reason));
        }
        files::sweep(path)?;
        run.record.call = call;
        run.save()?;
        Ok(run)
    }

    fn lock(&mut self) -> Result<()> {
        let path = self.path.join(LOCK);
        let file = File::create(&path).map_err(|source| PipelineError::io("create", &path, source))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => {
                Err(PipelineError::artifact(&self.path, "another process is working on this run"))
            }
            Err(TryLockError::Error(source)) => Err(PipelineError::io("lock", &path, source)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `run.json`.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The resolved recipe.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn recipe(&self) -> Result<Recipe> {
        Recipe::read(&self.path.join(RECIPE), &[])
    }

    /// The folder of a stage.
    pub fn folder(&self, stage: &str) -> PathBuf {
        self.path.join(stage)
    }

    /// A path inside the run, as `run.json` writes it.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// What a stage made, if it is done.
    pub fn output(&self, stage: &str) -> Option<&Output> {
        self.record.stages.iter().find(|record| record.name == stage)?.done.as_ref()
    }

    /// What a stage made.
    ///
    /// # Errors
    /// When it is not done.
    pub fn require(&self, stage: &str) -> Result<&Output> {
        self.output(stage).ok_or_else(|| {
            let reason = format!("its stage `{stage}` is not done; finish it with `vqkit train … --resume`");
            PipelineError::artifact(&self.path, reason)
        })
    }

    /// Notes that a stage begins, and returns where the logs ended when it first did.
    ///
    /// # Errors
    /// When `run.json` cannot be written.
    pub fn begin(&mut self, stage: &str) -> Result<LogOffsets> {
        if let Some(record) = self.record.stages.iter().find(|record| record.name == stage) {
            return Ok(record.began);
        }
        let began = crate::log::offsets(&self.path);
        self.record.stages.push(StageRecord { name: stage.to_owned(), began, done: None });
        self.save()?;
        Ok(began)
    }

    /// Notes what a stage made.
    ///
    /// # Errors
    /// When `run.json` cannot be written.
    pub fn finish(&mut self, stage: &str, output: Output) -> Result<()> {
        if let Some(record) = self.record.stages.iter_mut().find(|record| record.name == stage) {
            record.done = Some(output);
        }
        self.save()
    }

    fn save(&self) -> Result<()> {
        files::write_json(&self.path.join(RECORD), &self.record)
    }
}
