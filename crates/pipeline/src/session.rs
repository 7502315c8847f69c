//! A session: a run, and all operations on it.

use std::{path::Path, sync::Arc};

use vqkit_data::Dataset;
use vqkit_models::TrainedTokenizer;
use vqkit_recipe::Recipe;
use vqkit_report::Compared;
use vqkit_run::{Context, ReferenceCurves, Run, RunError};
use vqkit_sample::{GeneratedImage, Generator, Request, Target, Written, folder};
use vqkit_torch::attempt_in_memory;

use crate::{
    error::{PipelineError, Result},
    report_stage,
    stages::{self, Stage},
};

/// A run with its recipe, its data, the device and the observer. It owns all of them, so a long-lived process can keep
/// it.
#[derive(Debug)]
pub struct Session {
    pub(crate) run: Run,
    /// Opened when it is first needed; some operations do not need it.
    pub(crate) data: Option<Dataset>,
    pub(crate) context: Context,
}

impl Session {
    /// Opens a run for reading.
    ///
    /// # Errors
    /// When there is no run at `path`, or its recipe cannot be read.
    pub fn open(path: &Path, context: &Context) -> Result<Self> {
        Ok(Self { run: Run::open(path)?, data: None, context: context.clone() })
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The resolved recipe.
    pub fn recipe(&self) -> &Recipe {
        self.run.recipe()
    }

    /// Compares this run with reference curves: its stages say where they leave them, and its report shows both.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn compare_with(&self, curves: &ReferenceCurves) -> Result<()> {
        Ok(curves.accompany(self.run.path())?)
    }

    /// Runs every missing stage in order, or only those that `only` names (`prior` means all priors), and writes the curves of
    /// all stages so far to `curves.csv`. This process must have started or resumed the run.
    ///
    /// # Errors
    /// When there is no such stage, one fails, or the work is interrupted.
    pub fn run_stages(&mut self, only: Option<&str>) -> Result<()> {
        let recipe = Arc::clone(self.run.recipe());
        stages::check_name(&recipe, only)?;
        Stage::wanted(&recipe, only).iter().try_for_each(|stage| self.run_stage(stage))?;
        let curves = ReferenceCurves::of_log(self.run.path())?;
        // Stages that train nothing have none.
        if curves != ReferenceCurves::default() {
            curves.write(&self.run.path().join("curves.csv"))?;
        }
        Ok(())
    }

    /// Runs a stage, if it is not done.
    ///
    /// # Errors
    /// As [`run_stages`](Self::run_stages).
    pub(crate) fn run_stage(&mut self, stage: &Stage) -> Result<()> {
        let Self { run, data, context } = self;
        let recipe = &Arc::clone(run.recipe());
        let data = opened(data, recipe)?;
        let name = stage.name(recipe);
        if run.output(&name).is_some() {
            context.note(&name, "already done");
            return Ok(());
        }
        let output = loop {
            let result = attempt_in_memory(format!("the stage {name}"), || stage.run(run, data, context));
            match result.map_err(|error| gone(run).unwrap_or(error)) {
                Ok(output) => break output,
                Err(error) => match stage.step_back(run, &error)? {
                    Some(step) => {
                        context.warn(format_args!("{error}; back to step {step}, and on with a lower learning rate"))
                    }
                    None => return Err(error),
                },
            }
        };
        Ok(run.finish(&name, output)?)
    }

    /// The trained tokenizer of the images.
    ///
    /// # Errors
    /// When it is not trained.
    pub fn tokenizer(&self) -> Result<TrainedTokenizer> {
        Ok(TrainedTokenizer::open(self.run.path(), &self.context)?)
    }

    /// A generator of images.
    ///
    /// # Errors
    /// When the run is not trained.
    pub fn generator(&self) -> Result<Generator> {
        Ok(Generator::open(&self.run, &self.context)?)
    }

    /// Generates the requested images in memory.
    ///
    /// # Errors
    /// As [`Generator::generate`].
    pub fn generate(&mut self, request: &Request) -> Result<Vec<GeneratedImage>> {
        let mut generator = self.generator()?;
        // Some requests do not need the data, which may have been moved.
        let data = opened(&mut self.data, self.run.recipe()).ok();
        Ok(generator.generate(request, data)?)
    }

    /// Generates the requested images into a folder.
    ///
    /// # Errors
    /// As [`folder::write`].
    pub fn write_samples(&mut self, request: &Request, target: &Target) -> Result<Written> {
        let mut generator = self.generator()?;
        let data = opened(&mut self.data, self.run.recipe()).ok();
        Ok(folder::write(&mut generator, &self.run, request, data, target)?)
    }

    /// Measures the run and writes its report again; `inception`: a file with the weights of FID's InceptionV3, to add
    /// its metrics.
    ///
    /// # Errors
    /// When the run is not trained, its data cannot be read, or the weights are missing.
    pub fn measure(&mut self, inception: Option<&Path>) -> Result<Compared> {
        let Self { run, data, context } = self;
        report_stage::refresh(run, opened(data, run.recipe())?, inception, context)
    }
}

/// The data, opened if it is not open yet.
fn opened<'d>(data: &'d mut Option<Dataset>, recipe: &Recipe) -> Result<&'d Dataset> {
    match data {
        Some(data) => Ok(data),
        None => Ok(data.insert(stages::open_data(recipe)?)),
    }
}

/// The error that the run's folder is gone, if it is, instead of an error that follows from it.
fn gone(run: &Run) -> Option<PipelineError> {
    match run.home().and_then(|home| home.check()) {
        Err(gone @ RunError::Artifact { .. }) => Some(gone.into()),
        _ => None,
    }
}
