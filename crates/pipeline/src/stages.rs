//! The stages of an experiment, in order; each is skipped where it is done, and goes on where it was cut off.

use vqkit_data::Dataset;
use vqkit_priors::PriorError;
use vqkit_torch::{attempt_in_memory, memory};

use crate::{
    context::Context,
    domain::Domain,
    encode,
    error::{PipelineError, Result},
    evaluate, painter, perceptual,
    prior_spec::{Facts, Tokenizers},
    recipe::{Recipe, Sample},
    run::{Output, Run},
    sample,
    terminal::say,
    train_features, train_prior, train_tokenizer,
};

/// One stage of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Trains a classifier for its features.
    Features,
    /// Trains encoder, codebook and decoder, of the templates or of the images.
    Tokenizer(Domain),
    /// Encodes every image.
    Tokens,
    /// Trains the prior of a level.
    Prior(usize),
    /// Draws pictures.
    Samples,
    /// Measures, and writes the report.
    Report,
}

impl Stage {
    /// All stages of a recipe, in order.
    pub fn of(recipe: &Recipe) -> Vec<Self> {
        let priors = (0..recipe.priors.len()).map(Self::Prior);
        let sampled = (!recipe.priors.is_empty()).then_some(Self::Samples);
        let features = recipe.features.iter().map(|_| Self::Features);
        let domains = recipe.domains();
        if domains.is_empty() {
            return features.collect();
        }
        let tokenizers = domains.into_iter().map(Self::Tokenizer);
        features.chain(tokenizers).chain([Self::Tokens]).chain(priors).chain(sampled).chain([Self::Report]).collect()
    }

    /// The name in `run.json`, which is also the folder inside the run.
    pub fn name(&self, recipe: &Recipe) -> String {
        match self {
            Self::Features => train_features::STAGE.into(),
            Self::Tokenizer(domain) => domain.stage().into(),
            Self::Tokens => encode::STAGE.into(),
            Self::Prior(level) => train_prior::stages(recipe)[*level].clone(),
            Self::Samples => sample::STAGE.into(),
            Self::Report => evaluate::STAGE.into(),
        }
    }

    /// Whether `--stage only` means this stage: `prior` means the priors of all levels.
    fn belongs_to(&self, recipe: &Recipe, only: &str) -> bool {
        self.name(recipe).split('/').next() == Some(only)
    }

    fn run(&self, run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
        match self {
            Self::Features => train_features::train(run, recipe, data, context),
            Self::Tokenizer(domain) => train_tokenizer::train(run, recipe, *domain, data, context),
            Self::Tokens => encode::encode(run, recipe, data, context),
            Self::Prior(level) => train_prior::train(run, recipe, *level, data, context),
            Self::Samples => sample::run_stage(run, recipe, data, context),
            Self::Report => evaluate::run_stage(run, recipe, data, context),
        }
    }
}

/// Whether the recipe can be run at all: its networks can be built for its data, and the stage asked for exists. Reads
/// no file and writes none.
///
/// # Errors
/// When something does not fit.
pub fn check(recipe: &Recipe, only: Option<&str>, context: &Context) -> Result<()> {
    let stages = Stage::of(recipe);
    if let Some(only) = only.filter(|only| !stages.iter().any(|stage| stage.belongs_to(recipe, only))) {
        let names: Vec<String> = stages.iter().map(|stage| stage.name(recipe)).collect();
        return Err(PipelineError::Usage(format!(
            "--stage: there is no stage `{only}`; there are {}",
            names.join(", ")
        )));
    }
    check_batches(recipe)?;
    let domains = recipe.domains();
    if domains.is_empty() {
        return Ok(());
    }
    domains.into_iter().try_for_each(|domain| check_tokenizer(recipe, domain, context))?;
    let tokenizers = Tokenizers::build(recipe, context)?;
    let levels = tokenizers.images.codebook_sizes().len();
    let found = recipe.priors.len();
    if found != 0 && found != levels {
        let reason = format!("the tokenizer has {levels} levels of tokens, the recipe {found} [[prior]]");
        return Err(PipelineError::Usage(reason));
    }
    let (facts, _) = Facts::of_recipe(recipe);
    recipe.priors.iter().enumerate().try_for_each(|(level, prior)| {
        let spec = tokenizers.prior_spec(recipe, level, facts)?;
        prior.network.check(&spec).map_err(|error| wrong_key(&format!("prior.{level}"), error))?;
        let Sample { sampling, weights, .. } = &recipe.sample;
        let fits = prior.network.check_sampling(sampling, *weights, &spec);
        fits.map_err(|error| wrong_key(&format!("sample, for prior.{level}"), error))
    })?;
    painter::check_count(recipe.sample.count)
        .map_err(|reason| PipelineError::Usage(format!("sample.count: {reason}")))?;
    recipe.sample.size.map_or(Ok(()), |size| painter::larger_grid(size, recipe, &tokenizers.images).map(drop))
}

/// Whether there is memory for the values of a training batch, of the images or templates that it is made of.
fn check_batches(recipe: &Recipe) -> Result<()> {
    let of_images = Domain::Images.shape(&recipe.data);
    let features = recipe.features.iter().map(|features| ("features", &features.train, of_images));
    let tokenizers = [(Domain::Images, &recipe.tokenizer), (Domain::Templates, &recipe.template)].into_iter();
    let tokenizers = tokenizers
        .filter_map(|(domain, section)| Some((domain.stage(), &section.as_ref()?.train, domain.shape(&recipe.data))));
    for (section, train, shape) in features.chain(tokenizers) {
        let values = u64::from(shape.size).pow(2).saturating_mul(shape.values() as u64);
        let bytes = values.saturating_mul(4).saturating_mul(train.batch_size as u64);
        memory::check(&format!("{section}.train.batch_size = {}", train.batch_size), bytes)?;
    }
    // A token takes a place, an index and its logit at least.
    recipe.priors.iter().enumerate().try_for_each(|(level, prior)| {
        let batch_size = prior.train.batch_size;
        let bytes = (batch_size as u64).saturating_mul(24);
        Ok(memory::check(&format!("prior.{level}.train.batch_size = {batch_size}"), bytes)?)
    })
}

fn check_tokenizer(recipe: &Recipe, domain: Domain, context: &Context) -> Result<()> {
    let config = recipe.tokenizer(domain)?;
    train_tokenizer::build(recipe, domain, context)?;
    if config.taken.is_some() {
        return Ok(());
    }
    train_tokenizer::build_adversary(recipe, domain, context)?;
    let shape = domain.shape(&recipe.data);
    config.loss.perceptual.as_ref().map_or(Ok(()), |config| perceptual::check(config, shape))
}

/// What a prior says of a key is the recipe's fault.
fn wrong_key(section: &str, error: PriorError) -> PipelineError {
    match error {
        PriorError::Config { field, reason } => PipelineError::Usage(format!("{section}: `{field}` {reason}")),
        other => other.into(),
    }
}

/// Whether the files with weights that a new run begins with are there.
///
/// # Errors
/// [`PipelineError::Usage`] that names the key and the first that is not.
pub fn check_files(recipe: &Recipe) -> Result<()> {
    match recipe.files().into_iter().find(|(_, path)| !path.exists()) {
        None => Ok(()),
        Some((key, path)) => Err(PipelineError::Usage(format!("{key}: there is no {}", path.display()))),
    }
}

/// Runs every missing stage in order, or only those whose name begins with `only` (`prior` means all priors).
///
/// # Errors
/// When there is no such stage, or one fails.
pub fn run(run: &mut Run, recipe: &Recipe, data: &Dataset, only: Option<&str>, context: &Context) -> Result<()> {
    let wanted = |stage: &Stage| only.is_none_or(|only| stage.belongs_to(recipe, only));
    for stage in Stage::of(recipe).into_iter().filter(wanted) {
        let name = stage.name(recipe);
        if run.output(&name).is_some() {
            say(format_args!("{name:>10} done already"));
            continue;
        }
        let output = attempt_in_memory(format!("the stage {name}"), || stage.run(run, recipe, data, context));
        let output = output.map_err(|error| match run.home().and_then(|home| home.check()) {
            // Whatever else went wrong followed from that.
            Err(gone @ PipelineError::Artifact { .. }) => gone,
            _ => error,
        })?;
        run.finish(&name, output)?;
    }
    Ok(())
}

/// Opens the recipe's data; recipes that condition by class need a class for every sample, and so for captions and templates.
///
/// # Errors
/// When it cannot be read, or holds no classes where they are needed.
pub fn open_data(recipe: &Recipe) -> Result<Dataset> {
    let config = vqkit_data::DataConfig {
        require_class: recipe.data.require_class || recipe.condition.class || recipe.features.is_some(),
        ..recipe.data.clone()
    };
    let data = config.open()?;
    let needs = [("condition.class = true", recipe.condition.class), ("[features]", recipe.features.is_some())];
    if let (Some((who, _)), 0) = (needs.into_iter().find(|(_, needs)| *needs), data.train.num_classes()) {
        return Err(PipelineError::Usage(format!("{who} needs classes, and the data has none")));
    }
    if recipe.tokenizer.is_some() && data.validation.is_empty() {
        let message = "nothing is held out: give the source a `validation` of its own, or set data.validation = 0.05";
        return Err(PipelineError::Usage(message.into()));
    }
    if recipe.condition.text.is_some() && !data.train.has_captions() {
        return Err(PipelineError::Usage("condition.text needs captions, and the data has none".into()));
    }
    let found = data.train.num_classes();
    match recipe.condition.num_classes.filter(|wanted| *wanted != found) {
        None => Ok(data),
        Some(wanted) => {
            let message =
                format!("condition.num_classes is {wanted}, the data has {found} classes; correct it or leave it out");
            Err(PipelineError::Usage(message))
        }
    }
}
