//! An experiment before its run exists: a checked recipe, and its data.

use std::path::Path;

use vqkit_data::Dataset;
use vqkit_models::inherit;
use vqkit_recipe::Recipe;
use vqkit_run::{Context, Invocation, Run};

use crate::{error::Result, session::Session, stages};

/// A recipe whose networks can be built, its opened data, and the device.
#[derive(Debug)]
pub struct Experiment {
    recipe: Recipe,
    data: Dataset,
    context: Context,
}

impl Experiment {
    /// Checks a recipe as a whole and opens its data. `resumed`: the run that is continued, which has copies of what it
    /// inherits.
    ///
    /// # Errors
    /// When the recipe inherits a tokenizer that does not exist, its networks cannot be built, or the data cannot be
    /// read or lacks what the recipe needs.
    pub fn new(recipe: Recipe, resumed: Option<&Path>, context: &Context) -> Result<Self> {
        let recipe = inherit::resolve(recipe, resumed)?;
        stages::check(&recipe, context)?;
        let data = stages::open_data(&recipe)?;
        if !data.train.passed_over().is_empty() {
            context.note("data", format_args!("passed over: {}", data.train.passed_over()));
        }
        Ok(Self { recipe, data, context: context.clone() })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Starts a run in a new folder.
    ///
    /// # Errors
    /// When `path` exists, weights that training starts from are missing, or the folder cannot be written.
    pub fn begin(self, path: &Path) -> Result<Session> {
        stages::check_files(&self.recipe, &self.context)?;
        let run = Run::create(path, &self.recipe, &self.data, self.call())?;
        Ok(self.session(run))
    }

    /// Continues the run in a folder.
    ///
    /// # Errors
    /// When there is no run, another process works on it, or it was started with a different recipe or different data.
    pub fn resume(self, path: &Path) -> Result<Session> {
        let run = Run::resume(path, &self.recipe, &self.data, self.call())?;
        Ok(self.session(run))
    }

    fn call(&self) -> Invocation {
        Invocation::of_process(&self.context, self.recipe.head.precision, self.recipe.head.seed)
    }

    fn session(self, run: Run) -> Session {
        Session { run, data: Some(self.data), context: self.context }
    }
}
