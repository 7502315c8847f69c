//! The run folder: everything that an experiment writes, and how stages find each other's output.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tch::Kind;
use vqkit_data::{Dataset, View};
use vqkit_recipe::{Precision, Recipe};
use vqkit_torch::{device, threads};

use crate::{device::Context, error::Result, error::RunError, files, files::Home, log, log::LogOffsets};

/// The recipe of a run folder.
pub const RECIPE: &str = "recipe.toml";
const RECORD: &str = "run.json";
const LOCK: &str = ".lock";

/// A run folder. See `docs/src/reference/formats.md` for its layout.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    recipe: Arc<Recipe>,
    record: Record,
    /// The open folder, and the lock that this process holds while it works on it.
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    home: Arc<Home>,
    _lock: File,
}

/// `run.json`: the call and the data that the run was made with, and which stages are done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Version of vqkit that created the run.
    pub version: String,
    /// Details of the latest call.
    pub call: Invocation,
    /// The data that the run was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataRecord>,
    /// Every stage that was started, in order.
    pub stages: Vec<StageRecord>,
}

/// The data of a run, and how it is split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The training samples.
    pub train: Part,
    /// The validation samples.
    pub validation: Part,
}

/// One part of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of samples.
    pub samples: usize,
    /// BLAKE3 over their names, sizes and labels, and which of the source's samples they are.
    pub fingerprint: String,
}

impl DataRecord {
    /// The description of a data set.
    pub fn of(data: &Dataset) -> Self {
        let part = |view: &View| Part { samples: view.len(), fingerprint: view.fingerprint() };
        Self { train: part(&data.train), validation: part(&data.validation) }
    }

    /// How the data `now` differs from this; `None` where it does not.
    fn difference(&self, now: &Self) -> Option<String> {
        let parts = [("training", &self.train, &now.train), ("validation", &self.validation, &now.validation)];
        let (what, was, is) = parts.into_iter().find(|(_, was, is)| was != is)?;
        Some(match was.samples == is.samples {
            true => format!("names, sizes or labels of the {} {what} samples changed", is.samples),
            false => format!("{} {what} samples then, {} now", was.samples, is.samples),
        })
    }
}

/// Details of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// The command line.
    pub command: Vec<String>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// The number format of computations: `fp32` or `bf16`.
    pub precision: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// The git revision of the folder that the call was made in, if any.
    pub git: Option<String>,
    /// The recipe's seed.
    pub seed: u64,
}

impl Invocation {
    /// The details of this process, which computes in `precision` with a recipe's `seed`.
    pub fn of_process(context: &Context, precision: Precision, seed: u64) -> Self {
        Self {
            command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            device: device::name(context.device),
            threads: threads::count(),
            precision: if context.kind(precision) == Kind::Float { "fp32" } else { "bf16" }.into(),
            libtorch: vqkit_torch::libtorch_version(),
            git: revision(),
            seed,
        }
    }
}

fn revision() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The entry of a stage in `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name, which is also the stage's folder inside the run: `tokenizer`, `tokens`, `prior/0`.
    pub name: String,
    /// Lengths of the logs when the stage started.
    pub began: LogOffsets,
    /// Its output, once it is done.
    pub done: Option<Output>,
}

/// The output of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Path inside the run.
    pub path: String,
    /// Fingerprint of its content.
    pub fingerprint: String,
}

impl Run {
    /// Creates a new run folder and takes its lock. `data`: what it is trained on; imported runs have none.
    ///
    /// # Errors
    /// When `path` exists already, or cannot be written.
    pub fn create(path: &Path, recipe: &Recipe, data: Option<&Dataset>, call: Invocation) -> Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(RunError::RunExists { path: path.to_owned() });
        }
        let data = data.map(DataRecord::of);
        let record = Record { version: env!("CARGO_PKG_VERSION").into(), call, data, stages: Vec::new() };
        let text = recipe.to_toml()?;
        files::create_here(path, |folder| {
            files::write(&folder.join(RECIPE), text.as_bytes())?;
            files::write_json(&folder.join(RECORD), &record)
        })?;
        let work = Some(Work::begin(path)?);
        Ok(Self { path: path.to_owned(), recipe: Arc::new(recipe.clone()), record, work })
    }

    /// Opens a run folder for reading.
    ///
    /// # Errors
    /// When there is no run at `path`, or its recipe or `run.json` cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        match Self::find(path)? {
            true => {
                let recipe = Arc::new(Recipe::read(&path.join(RECIPE), &[])?);
                Ok(Self { path: path.to_owned(), recipe, record: files::read_json(&path.join(RECORD))?, work: None })
            }
            false => {
                let reason = format!("not a run folder: it holds no {RECORD}; a run is what `vqkit train` writes");
                Err(RunError::artifact(path, reason))
            }
        }
    }

    /// Whether there is a run at `path`.
    ///
    /// # Errors
    /// When the system denies access.
    pub fn find(path: &Path) -> Result<bool> {
        let record = path.join(RECORD);
        match fs::metadata(&record) {
            Ok(found) => Ok(found.is_file()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(source) => Err(RunError::io("look at", &record, source)),
        }
    }

    /// Opens a run folder to continue the run: takes its lock, and records the details of this call.
    ///
    /// # Errors
    /// As [`Run::open`]; when another process works on it; when `data` is not the run's own, or a key of `recipe`
    /// differs that may not; when a link in it leads out of it.
    pub fn resume(path: &Path, recipe: &Recipe, data: &Dataset, call: Invocation) -> Result<Self> {
        Self::open(path)?;
        let work = Work::begin(path)?;
        // Only from here on is it certain that no other process writes it.
        let mut run = Self { work: Some(work), ..Self::open(path)? };
        run.recipe.check_resumable(recipe, |stage| run.output(stage).is_some())?;
        let data = DataRecord::of(data);
        if let Some(difference) = run.record.data.as_ref().and_then(|begun| begun.difference(&data)) {
            let reason =
                format!("the run was started with different data: {difference}; restore the data, or start a new run");
            return Err(RunError::artifact(path, reason));
        }
        files::sweep(path)?;
        if *run.recipe != *recipe {
            files::write(&path.join(RECIPE), recipe.to_toml()?.as_bytes())?;
            run.recipe = Arc::new(recipe.clone());
        }
        run.record.call = call;
        run.record.data = Some(data);
        run.save()?;
        Ok(run)
    }

    /// The folder, to check whether it is still there.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn home(&self) -> Result<Arc<Home>> {
        match &self.work {
            Some(work) => Ok(Arc::clone(&work.home)),
            None => Home::open(&self.path).map(Arc::new),
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
    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }

    /// Creates the folder of a stage, if it does not exist yet.
    ///
    /// # Errors
    /// When the run is gone, or a link is in the way.
    pub fn make_folder(&self, stage: &str) -> Result<PathBuf> {
        self.home()?.check()?;
        files::make_inside(&self.path, Path::new(stage))
    }

    /// The folder of a stage.
    pub fn folder(&self, stage: &str) -> PathBuf {
        self.path.join(stage)
    }

    /// A path inside the run, as `run.json` writes it.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// The output of a stage, if it is done.
    pub fn output(&self, stage: &str) -> Option<&Output> {
        self.record.stages.iter().find(|record| record.name == stage)?.done.as_ref()
    }

    /// The output of a stage.
    ///
    /// # Errors
    /// When it is not done.
    pub fn require(&self, stage: &str) -> Result<&Output> {
        let missing = || RunError::StageNotDone { run: self.path.clone(), stage: stage.to_owned() };
        self.output(stage).ok_or_else(missing)
    }

    /// Records that a stage starts, and returns the lengths of the logs at its first start.
    ///
    /// # Errors
    /// When `run.json` cannot be written.
    pub fn begin(&mut self, stage: &str) -> Result<LogOffsets> {
        if let Some(record) = self.record.stages.iter().find(|record| record.name == stage) {
            return Ok(record.began);
        }
        let began = log::offsets(&self.path);
        self.record.stages.push(StageRecord { name: stage.to_owned(), began, done: None });
        self.save()?;
        Ok(began)
    }

    /// Records the output of a stage.
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
        self.home()?.check()?;
        files::write_json(&self.path.join(RECORD), &self.record)
    }
}

impl Work {
    fn begin(run: &Path) -> Result<Self> {
        let home = Arc::new(Home::open(run)?);
        let path = run.join(LOCK);
        let lock = files::open_own(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { home, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunError::artifact(run, "another process is working on this run")),
            Err(TryLockError::Error(source)) => Err(RunError::io("lock", &path, source)),
        }
    }
}
