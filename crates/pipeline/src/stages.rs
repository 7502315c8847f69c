//! The stages of an experiment, in order; each is skipped if it is done, and continues where it was interrupted.

use tch::nn::VarStore;
use vqkit_data::{Dataset, TemplateConfig};
use vqkit_models::{ConditionVocabulary, Tokenizers, build, perceptual};
use vqkit_pretrained::hub;
use vqkit_priors::{PriorError, check_predicts};
use vqkit_recipe::{InvalidRequest, Modality, Recipe, Sample, Tokenizer, Train, stage_names};
use vqkit_run::{Context, Output, Run};
use vqkit_sample::{folder, networks};
use vqkit_tokens::{TokensError, encode};
use vqkit_torch::memory;
use vqkit_train::{TrainError, classifier, prior, tokenizer};

use crate::{error::PipelineError, error::Result, report_stage};

/// One stage of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Trains a classifier for its features.
    Features,
    /// Trains encoder, codebook and decoder, for templates or for images.
    Tokenizer(Modality),
    /// Encodes every image.
    Tokens,
    /// Trains the prior of a level.
    Prior(usize),
    /// Generates images.
    Samples,
    /// Computes metrics and writes the report.
    Report,
}

impl Stage {
    /// All stages of a recipe, in order.
    pub fn of(recipe: &Recipe) -> Vec<Self> {
        let priors = (0..recipe.priors.len()).map(Self::Prior);
        let sampled = (!recipe.priors.is_empty()).then_some(Self::Samples);
        let features = recipe.features.iter().map(|_| Self::Features);
        let modalities = recipe.modalities();
        if modalities.is_empty() {
            return features.collect();
        }
        let tokenizers = modalities.into_iter().map(Self::Tokenizer);
        features.chain(tokenizers).chain([Self::Tokens]).chain(priors).chain(sampled).chain([Self::Report]).collect()
    }

    /// The name in `run.json`, which is also the folder inside the run.
    pub fn name(&self, recipe: &Recipe) -> String {
        match self {
            Self::Features => stage_names::FEATURES.into(),
            Self::Tokenizer(modality) => modality.stage().into(),
            Self::Tokens => stage_names::TOKENS.into(),
            Self::Prior(level) => stage_names::stages(recipe)[*level].clone(),
            Self::Samples => stage_names::SAMPLES.into(),
            Self::Report => stage_names::REPORT.into(),
        }
    }

    /// Whether the name `only` means this stage: `prior` means the priors of all levels.
    fn belongs_to(&self, recipe: &Recipe, only: &str) -> bool {
        self.name(recipe).split('/').next() == Some(only)
    }

    /// The stages of a recipe that `only` names; all of them if it is `None`.
    pub(crate) fn wanted(recipe: &Recipe, only: Option<&str>) -> Vec<Self> {
        let mut stages = Self::of(recipe);
        stages.retain(|stage| only.is_none_or(|only| stage.belongs_to(recipe, only)));
        stages
    }

    /// Takes the stage back before the fault that ended it, where its recipe wants that; gives the step that it is at then.
    pub(crate) fn step_back(&self, run: &Run, error: &PipelineError) -> Result<Option<u64>> {
        let is_fault = matches!(error, PipelineError::Train(TrainError::Fault { .. } | TrainError::Diverged { .. }));
        let recipe = run.recipe();
        match self.train_of(recipe).filter(|_| is_fault) {
            Some(train) => Ok(vqkit_train::step_back(run, &self.name(recipe), train)?),
            None => Ok(None),
        }
    }

    /// How the network of the stage is trained, where the stage trains one.
    pub(crate) fn train_of<'r>(&self, recipe: &'r Recipe) -> Option<&'r Train> {
        let of_tokenizer = |found: &'r Option<Tokenizer>| {
            found.as_ref().filter(|found| found.inherited.is_none()).map(|found| &found.train)
        };
        match self {
            Self::Features => recipe.features.as_ref().map(|features| &features.train),
            Self::Tokenizer(Modality::Image) => of_tokenizer(&recipe.tokenizer),
            Self::Tokenizer(Modality::Template) => of_tokenizer(&recipe.template),
            Self::Prior(level) => recipe.priors.get(*level).map(|prior| &prior.train),
            Self::Tokens | Self::Samples | Self::Report => None,
        }
    }

    pub(crate) fn run(&self, run: &mut Run, data: &Dataset, context: &Context) -> Result<Output> {
        match self {
            Self::Features => Ok(classifier::train(run, data, context)?),
            Self::Tokenizer(modality) => Ok(tokenizer::train(run, *modality, data, context)?),
            Self::Tokens => Ok(encode::encode(run, data, context)?),
            Self::Prior(level) => Ok(prior::train(run, *level, data, context)?),
            Self::Samples => Ok(folder::run_stage(run, data, context)?),
            Self::Report => report_stage::run_stage(run, data, context),
        }
    }
}

/// Checks that the recipe can be run: that its networks can be built for its data. Reads and writes no file.
///
/// # Errors
/// When something does not fit.
pub fn check(recipe: &Recipe, context: &Context) -> Result<()> {
    check_batches(recipe)?;
    let modalities = recipe.modalities();
    if modalities.is_empty() {
        return Ok(());
    }
    modalities.into_iter().try_for_each(|modality| check_tokenizer(recipe, modality, context))?;
    let tokenizers = Tokenizers::build(recipe, context)?;
    let levels = tokenizers.images.codebook_sizes().len();
    let found = recipe.priors.len();
    if found != 0 && found != levels {
        let reason = format!("the tokenizer has {levels} levels of tokens, but the recipe has {found} [[prior]]");
        return Err(InvalidRequest::key("prior", reason).into());
    }
    check_predicted_levels(recipe, levels)?;
    let (facts, _) = ConditionVocabulary::of_recipe(recipe);
    recipe.priors.iter().enumerate().try_for_each(|(level, prior)| {
        let spec = tokenizers.prior_spec(recipe, level, facts)?;
        prior.network.check(&spec).map_err(|error| wrong_key(&format!("prior.{level}"), error))?;
        let Sample { sampling, weight_dtype, .. } = &recipe.sample;
        let fits = prior.network.check_sampling(sampling, *weight_dtype, &spec);
        fits.map_err(|error| wrong_key(&format!("sample, for prior.{level}"), error))
    })?;
    networks::check_count(recipe.sample.count)
        .map_err(|reason| InvalidRequest::key("sample.count", reason.to_string()))?;
    recipe.sample.size.map_or(Ok(()), |size| Ok(networks::larger_grid(size, recipe, &tokenizers.images).map(drop)?))
}

/// Checks that every level has its prior. All existing priors model one level each.
fn check_predicted_levels(recipe: &Recipe, levels: usize) -> Result<()> {
    for (index, prior) in recipe.priors.iter().enumerate() {
        let predicts = prior.predicts.clone().unwrap_or_else(|| vec![index]);
        let section = format!("prior.{index}");
        check_predicts(&predicts, index, levels).map_err(|error| wrong_key(&section, error))?;
        if predicts.len() > 1 {
            let reason = format!("a prior of this type models one level, found {predicts:?}");
            return Err(InvalidRequest::key(format!("{section}.predicts"), reason).into());
        }
    }
    Ok(())
}

/// Checks that the recipe has a stage of that name.
///
/// # Errors
/// When it has none.
pub fn check_name(recipe: &Recipe, only: Option<&str>) -> Result<()> {
    let stages = Stage::of(recipe);
    if let Some(only) = only.filter(|only| !stages.iter().any(|stage| stage.belongs_to(recipe, only))) {
        let names: Vec<String> = stages.iter().map(|stage| stage.name(recipe)).collect();
        return Err(InvalidRequest::option(
            "stage",
            format!("there is no stage `{only}`; there are {}", names.join(", ")),
        )
        .into());
    }
    Ok(())
}

/// Checks that there is memory for the values of a training batch of images or templates.
fn check_batches(recipe: &Recipe) -> Result<()> {
    let of_images = Modality::Image.input_spec(&recipe.data);
    let features = recipe.features.iter().map(|features| ("features", &features.train, of_images));
    let tokenizers = [(Modality::Image, &recipe.tokenizer), (Modality::Template, &recipe.template)].into_iter();
    let tokenizers = tokenizers.filter_map(|(modality, section)| {
        Some((modality.stage(), &section.as_ref()?.train, modality.input_spec(&recipe.data)))
    });
    for (section, train, shape) in features.chain(tokenizers) {
        let values = u64::from(shape.size).pow(2).saturating_mul(shape.values() as u64);
        let bytes = values.saturating_mul(4).saturating_mul(train.batch_size as u64);
        memory::check(&format!("{section}.train.batch_size = {}", train.batch_size), bytes)?;
    }
    // A token takes at least a position, an index and its logit.
    recipe.priors.iter().enumerate().try_for_each(|(level, prior)| {
        let batch_size = prior.train.batch_size;
        let bytes = (batch_size as u64).saturating_mul(24);
        Ok(memory::check(&format!("prior.{level}.train.batch_size = {batch_size}"), bytes)?)
    })
}

fn check_tokenizer(recipe: &Recipe, modality: Modality, context: &Context) -> Result<()> {
    let config = recipe.tokenizer(modality)?;
    let (vs, tokenizer) = build::build(recipe, modality, context)?;
    if config.inherited.is_some() {
        return Ok(());
    }
    let shape = modality.input_spec(&recipe.data);
    check_batch_norm(config, &vs, &tokenizer.grid_shapes(shape.size.into())?, modality)?;
    build::build_discriminator(recipe, modality, context)?;
    config.loss.perceptual.as_ref().map_or(Ok(()), |config| Ok(perceptual::check(config, shape)?))
}

/// Batch normalisation has no variance of a single value; training would end in NaN.
fn check_batch_norm(config: &Tokenizer, vs: &VarStore, grids: &[[i64; 2]], modality: Modality) -> Result<()> {
    let normalises = vs.variables().keys().any(|name| name.ends_with("running_var"));
    let part = config.train.batch_size / config.train.grad_accumulation;
    match grids.iter().map(|[height, width]| height * width).min() {
        Some(1) if normalises && part == 1 => {
            let reason = "batch normalisation needs more than one value per channel, and a step has one image on a grid of \
                          1 x 1: raise batch_size, lower grad_accumulation, or choose norm = \"group\"";
            Err(InvalidRequest::key(format!("{}.train.batch_size", modality.stage()), reason).into())
        }
        _ => Ok(()),
    }
}

/// Turns a prior's error about a key into one about the recipe.
fn wrong_key(section: &str, error: PriorError) -> PipelineError {
    match error {
        PriorError::Config { field, reason } => InvalidRequest::key(section, format!("`{field}` {reason}")).into(),
        other => other.into(),
    }
}

/// Checks that the files with weights that a new run starts from exist, downloads those on the Hub, and that the runs that fine-tuning starts from
/// have networks of the same architecture. A file outside of a run is read when its stage begins.
///
/// # Errors
/// [`InvalidRequest`] that names the key and the first missing file; an error that lists what differs.
pub fn check_files(recipe: &Recipe, context: &Context) -> Result<()> {
    for (key, path) in recipe.files() {
        if !hub::local_path(path, &context.observer)?.exists() {
            return Err(InvalidRequest::key(key, format!("there is no {}", path.display())).into());
        }
    }
    for modality in recipe.modalities() {
        let config = recipe.tokenizer(modality)?;
        if let (Some(finetune), None) = (&config.finetune, &config.inherited) {
            let (vs, network) = build::build(recipe, modality, context)?;
            tokenizer::finetune::check(finetune, modality, &vs, &network, context)?;
        }
    }
    if recipe.priors.iter().all(|prior| prior.finetune.is_none()) {
        return Ok(());
    }
    let (tokenizers, (facts, _)) = (Tokenizers::build(recipe, context)?, ConditionVocabulary::of_recipe(recipe));
    (0..recipe.priors.len()).try_for_each(|level| {
        let spec = tokenizers.prior_spec(recipe, level, facts)?;
        match prior::finetune::Finetuned::of(recipe, level, &spec) {
            Some(finetuned) => Ok(finetuned.check(context)?),
            None => Ok(()),
        }
    })
}

/// Opens the recipe's data; recipes that condition on class need a class for every sample, and likewise for captions
/// and templates.
///
/// # Errors
/// When it cannot be read, or holds no classes where they are needed.
pub fn open_data(recipe: &Recipe) -> Result<Dataset> {
    let config = vqkit_data::DataConfig {
        require_class: recipe.data.require_class || recipe.condition.class || recipe.features.is_some(),
        require_caption: recipe.data.require_caption || recipe.condition.text.is_some(),
        require_template: recipe.data.require_template
            || matches!(recipe.condition.template, Some(TemplateConfig::Given(_))),
        ..recipe.data.clone()
    };
    let data = config.open()?;
    let needs = [("condition.class", recipe.condition.class), ("features", recipe.features.is_some())];
    if let (Some((who, _)), 0) = (needs.into_iter().find(|(_, needs)| *needs), data.train.num_classes()) {
        return Err(InvalidRequest::key(who, "needs classes, but the data has none").into());
    }
    if recipe.tokenizer.is_some() && data.validation.is_empty() {
        return Err(TokensError::NoValidation.into());
    }
    if recipe.condition.text.is_some() && !data.train.has_captions() {
        return Err(InvalidRequest::key("condition.text", "needs captions, but the data has none").into());
    }
    let found = data.train.num_classes();
    match recipe.condition.num_classes.filter(|wanted| *wanted != found) {
        None => Ok(data),
        Some(wanted) => {
            let message = format!("is {wanted}, but the data has {found} classes; correct it or leave it out");
            Err(InvalidRequest::key("condition.num_classes", message).into())
        }
    }
}
