//! `prior.finetune.from`: the trained prior that fine-tuning starts from.

use std::path::{Path, PathBuf};

use vqkit_foreign::Part;
use vqkit_interop::network_weights;
use vqkit_models::{ConditionVocabulary, Tokenizers};
use vqkit_pretrained::hub;
use vqkit_priors::{OldClasses, PriorConfig, PriorSpec};
use vqkit_recipe::{InvalidRequest, Modality, Recipe, stage_names};
use vqkit_run::{Context, Run, Tensors, checkpoint_weights};
use vqkit_tokens::run_tokens;
use vqkit_torch::weights;

use crate::{error::Result, error::TrainError};

/// A trained prior: a file of weights, and what its run says of it, if it belongs to one.
#[derive(Debug)]
pub struct PriorSource {
    /// The file of weights.
    pub weights: PathBuf,
    /// `None` for a file that lies in no run.
    pub trained: Option<TrainedPrior>,
}

/// What a run says of one of its priors.
#[derive(Debug)]
pub struct TrainedPrior {
    /// The network.
    pub network: PriorConfig,
    /// What it was built for.
    pub spec: PriorSpec,
    /// The classes.
    pub classes: OldClasses,
    /// Fingerprint of the tokenizer, if the run has a trained one.
    pub tokenizer: Option<String>,
}

impl PriorSource {
    /// Finds the prior at `from`: of a run, its prior of the same `level`; a checkpoint of a prior in a run; or a file.
    ///
    /// # Errors
    /// [`InvalidRequest`] that names the key where there is no such prior.
    pub fn open(from: &Path, level: usize, context: &Context) -> Result<Self> {
        let (shown, local) = (from.display(), hub::local_path(from, &context.observer)?);
        let from = &*local;
        let usage = |reason: String| TrainError::from(InvalidRequest::key(key(level), reason));
        if !from.exists() {
            let reason =
                format!("there is no {shown}; give a run with a trained prior, a checkpoint or a file of weights");
            return Err(usage(reason));
        }
        if !from.is_file() && Run::find(from)? {
            let run = Run::open(from).map_err(|error| usage(error.to_string()))?;
            let stages = stage_names::stages(run.recipe());
            let Some(stage) = stages.get(level) else {
                return Err(usage(format!("the run {shown} has {} priors, none of level {level}", stages.len())));
            };
            let output = run.require(stage).map_err(|error| usage(error.to_string()))?;
            let weights = checkpoint_weights::weights_for_use(&from.join(&output.path));
            return Ok(Self { weights, trained: Some(TrainedPrior::of_run(&run, level, context)?) });
        }
        let weights = if from.is_file() { from.to_owned() } else { checkpoint_weights::weights_for_use(from) };
        if !weights.is_file() {
            return Err(usage(format!("{shown} is neither a run nor a checkpoint, nor a file of weights")));
        }
        let trained = match run_around(&weights) {
            None => None,
            Some((run, level)) => Some(TrainedPrior::of_run(&run, level, context)?),
        };
        Ok(Self { weights, trained })
    }

    /// The weights by name.
    ///
    /// # Errors
    /// When the file cannot be read, or holds numbers that are not finite.
    pub fn read(&self) -> Result<Tensors> {
        let state = match network_weights(&self.weights, Part::Prior)? {
            Some(found) => found.network,
            None => weights::read_any(&self.weights)?,
        };
        weights::check_finite(&self.weights, &state)?;
        Ok(state)
    }
}

impl TrainedPrior {
    fn of_run(run: &Run, level: usize, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let vocabulary = run_tokens::vocabulary(run).ok();
        let facts = vocabulary.as_ref().map_or_else(|| ConditionVocabulary::of_recipe(recipe).0, |known| known.facts);
        let spec = Tokenizers::build(recipe, context)?.prior_spec(recipe, level, facts)?;
        let names = vocabulary.map(|known| known.classes).or_else(|| recipe.data.class_names.clone());
        let count = spec.num_classes.unwrap_or(0);
        let classes = match names {
            Some(names) if names.len() as i64 == count => OldClasses::Named(names),
            _ => OldClasses::Counted(count),
        };
        let tokenizer = run.output(Modality::Image.stage()).map(|output| output.fingerprint.clone());
        Ok(Self { network: recipe.priors[level].network.clone(), spec, classes, tokenizer })
    }
}

/// The key of the recipe.
pub fn key(level: usize) -> String {
    format!("prior.{level}.finetune.from")
}

/// The run around a file of weights in a checkpoint of one of its priors, and that prior's level.
fn run_around(weights: &Path) -> Option<(Run, usize)> {
    let path = weights.canonicalize().ok()?;
    let folder = path.ancestors().skip(1).take(4).find(|folder| folder.join("run.json").is_file())?;
    let run = Run::open(folder).ok()?;
    let recipe: &Recipe = run.recipe();
    let stages = stage_names::stages(recipe);
    let level = stages.iter().position(|stage| path.starts_with(folder.join(stage)))?;
    Some((run, level))
}
