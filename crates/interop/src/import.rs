//! Checkpoints of other projects as a run of ours.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tch::{Tensor, nn::VarStore};
use vqkit_foreign::{
    Discriminator, Examined, ForeignError, ForeignFile, Hints, Network, Part, QUANTIZER_ALONE, Recognition, Use,
    Weights, checkpoints, examine,
};
use vqkit_models::{ConditionVocabulary, Tokenizers, build, inherit, load};
use vqkit_pretrained::hub;
use vqkit_priors::PriorSpec;
use vqkit_recipe::{InvalidRequest, Modality, Recipe, stage_names};
use vqkit_run::{
    Checkpoints, Context, DISCRIMINATOR, Invocation, MODEL, Output, Run, STATE, State, checkpoint_weights,
    checkpoint_weights::ORIGIN, files,
};
use vqkit_torch::weights;

use crate::{
    error::{InteropError, Result},
    fill,
    problems::Problems,
    recipe::{Origin, Parts},
};

/// What to import.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Checkpoints, folders of checkpoints, locations on the Hub (`hf://…`), or runs with a trained tokenizer that a prior belongs to.
    pub paths: Vec<PathBuf>,
    /// How they are to be understood.
    pub hints: Hints,
    /// Width and height of the images in pixels, where the run is to have another than the weights tell.
    pub image_size: Option<u32>,
    /// Whether variables without a tensor keep their random values, and tensors without a variable are passed over.
    pub is_partial: bool,
}

/// A run that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// The run folder.
    pub run: PathBuf,
    /// What was read from each checkpoint.
    pub checkpoints: Vec<(PathBuf, Recognition)>,
    /// Variables that have random values: none, unless the import was partial.
    pub untrained: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// `origin.json` of an imported network.
#[derive(Debug, Serialize)]
struct Source<'a> {
    file: &'a Path,
    family: Option<&'static str>,
    weights: Weights,
    /// BLAKE3 of the file; of shards, of all of them one after the other.
    blake3: &'a str,
}

/// A network of the run, built and not filled yet.
struct Built<'a, 'f> {
    stage: String,
    vs: VarStore,
    uses: &'a [Use<'f>],
    file: usize,
    discriminator: Option<(VarStore, &'a Discriminator<'f>)>,
}

/// Imports checkpoints into the new run folder `out`.
///
/// # Errors
/// When a file is no checkpoint or of no known family; when its tensors do not fit ([`InteropError::Tensors`] lists all of
/// them); when the networks do not belong together; when the folder exists or cannot be written.
pub fn import(request: &Request, out: &Path, context: &Context) -> Result<Imported> {
    let (paths, runs) = divided(&request.paths, context)?;
    let files = paths.iter().map(|path| ForeignFile::open(path)).collect::<Result<Vec<_>, _>>()?;
    let found =
        files.iter().map(|file| examine(file, &request.hints)).collect::<Result<Vec<_>, _>>().map_err(of_family)?;
    check_weights(request, &found)?;
    let networks = networks(&paths, &found)?;
    let of = |part: Part| networks.iter().filter(move |(_, network)| network.part == part);
    let parts = Parts {
        tokenizer: tokenizer(of(Part::Tokenizer).map(|(_, network)| *network).collect(), &runs, &paths, context)?,
        template: of(Part::Template).map(|(_, network)| *network).next(),
        priors: priors(of(Part::Prior).map(|(_, network)| *network).collect()),
    };
    let recipe = recipe(&parts, request, out, &found)?;
    let recipe = inherit::resolve(recipe, None)?;
    let built = build_networks(&recipe, &networks, &parts, context)?;
    let mut left_out = parts.left_out(recipe.data.image_size.into());
    left_out.extend(check(&paths, &found, &built, request.is_partial)?);
    let call = Invocation::of_process(context, recipe.head.precision, recipe.head.seed);
    let run = Run::create(out, &recipe, None, call)?;
    let untrained = write_all(run, built, &files, &found, context).inspect_err(|_| {
        // A run that lacks a network is none; the error is what the caller has to know.
        drop(fs::remove_dir_all(out));
    })?;
    let summaries = paths.iter().zip(&found).map(|(path, found)| (path.clone(), Recognition::of_examined(found)));
    Ok(Imported { run: out.to_owned(), checkpoints: summaries.collect(), untrained, left_out })
}

/// The error of a family that there is not, as one of the request.
fn of_family(error: ForeignError) -> InteropError {
    match error {
        ForeignError::UnknownFamily { .. } => InvalidRequest::option("family", error.to_string()).into(),
        error => error.into(),
    }
}

/// That a request for averaged weights, or for those of the optimizer, chose between the two in some file.
fn check_weights(request: &Request, found: &[Examined]) -> Result<()> {
    match request.hints.weights.filter(|wanted| found.iter().all(|found| found.set.weights != *wanted)) {
        None => Ok(()),
        Some(wanted) => {
            let reason = format!("there are no weights `{wanted}` in these files: each has one set of weights alone");
            Err(InvalidRequest::option("weights", reason).into())
        }
    }
}

/// The checkpoints and the runs among the paths.
fn divided(paths: &[PathBuf], context: &Context) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut runs) = (Vec::new(), Vec::new());
    for path in paths {
        let path = hub::local_path(path, &context.observer)?;
        match Run::find(&path)? {
            true => runs.push(path.into_owned()),
            false => files.extend(checkpoints(&path)?),
        }
    }
    Ok((files, runs))
}

/// Every network that the files hold, with the number of its file.
fn networks<'a, 'f>(paths: &[PathBuf], found: &'a [Examined<'f>]) -> Result<Vec<(usize, &'a Network<'f>)>> {
    let mut networks = Vec::new();
    for (index, (path, found)) in paths.iter().zip(found).enumerate() {
        let refused = |reason: String| InteropError::file(path, reason);
        let Some(family) = found.family else {
            let reason = "is of no family that is known by its names; name one, if you know it".to_owned();
            return Err(refused(reason));
        };
        let title = family.title();
        match &found.reading {
            Err(reason) => return Err(InteropError::of_family(path, family, reason)),
            Ok(None) => return Err(refused(format!("{title}: vqkit recognises it, and does not import it"))),
            Ok(Some(reading)) if reading.networks.iter().any(|network| network.part == Part::Quantizer) => {
                return Err(refused(format!("{title}: {QUANTIZER_ALONE}")));
            }
            Ok(Some(reading)) => networks.extend(reading.networks.iter().map(|network| (index, network))),
        }
    }
    Ok(networks)
}

/// The one tokenizer of the images: of a file, or of a run.
fn tokenizer<'a, 'f>(
    networks: Vec<&'a Network<'f>>,
    runs: &'a [PathBuf],
    paths: &[PathBuf],
    context: &Context,
) -> Result<Origin<'a, 'f>> {
    let first = paths.first().or(runs.first()).cloned().unwrap_or_default();
    match (networks.as_slice(), runs) {
        ([network], []) => Ok(Origin::Foreign(network)),
        ([], [path]) => {
            let run = Run::open(path)?;
            let network = load::tokenizer(&run, Modality::Image, context)?;
            let spec = Modality::Image.input_spec(&run.recipe().data);
            let (image_size, channels) = (spec.size, spec.channels as i64);
            Ok(Origin::Run { path, image_size, downsampling: network.downsampling(), channels })
        }
        ([], []) => {
            let reason =
                "holds a prior alone: give the checkpoint or the run of the tokenizer that it belongs to beside it";
            Err(InteropError::file(first, reason))
        }
        (networks, runs) => {
            let count = networks.len() + runs.len();
            let among: Vec<String> = paths.iter().chain(runs).map(|path| path.display().to_string()).collect();
            let reason = format!(
                "there are {count} tokenizers of images in {}; give the file of one, and what belongs to it",
                among.join(", ")
            );
            Err(InteropError::file(first, reason))
        }
    }
}

/// Priors by the level that they predict: those that are conditioned on a coarser grid last.
fn priors<'a, 'f>(mut networks: Vec<&'a Network<'f>>) -> Vec<&'a Network<'f>> {
    networks.sort_by_key(|network| network.needs.condition.coarser);
    networks
}

fn recipe(parts: &Parts, request: &Request, out: &Path, found: &[Examined]) -> Result<Recipe> {
    let name: String = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let key = found.iter().find_map(|found| found.config.text("cond_stage_key"));
    let refused = |reason: String| InteropError::file(request.paths.first().cloned().unwrap_or_default(), reason);
    let table = parts.recipe(&name, request.image_size, key).map_err(refused)?;
    let text = toml::to_string(&table).map_err(|error| refused(error.to_string()))?;
    Recipe::parse("the recipe of its run", &text, &[]).map_err(|error| refused(error.to_string()))
}

/// Builds every network of the recipe that comes from a file.
fn build_networks<'a, 'f>(
    recipe: &Recipe,
    networks: &[(usize, &'a Network<'f>)],
    parts: &Parts<'a, 'f>,
    context: &Context,
) -> Result<Vec<Built<'a, 'f>>> {
    let file_of = |wanted: &Network| {
        networks.iter().find(|(_, network)| std::ptr::eq(*network, wanted)).map_or(0, |(file, _)| *file)
    };
    let mut built = Vec::new();
    let template = parts.template.map(|network| (Modality::Template, network));
    let image = match &parts.tokenizer {
        Origin::Foreign(network) => Some((Modality::Image, *network)),
        Origin::Run { .. } => None,
    };
    for (modality, network) in template.into_iter().chain(image) {
        let (vs, _) = build::build(recipe, modality, context)?;
        let discriminator = match &network.discriminator {
            None => None,
            Some(found) => build::build_discriminator(recipe, modality, context)?.map(|(vs, _)| (vs, found)),
        };
        let stage = modality.stage().to_owned();
        built.push(Built { stage, vs, uses: &network.uses, file: file_of(network), discriminator });
    }
    if parts.priors.is_empty() {
        return Ok(built);
    }
    for (level, ((network, stage), spec)) in parts
        .priors
        .iter()
        .zip(stage_names::stages(recipe))
        .zip(specs(recipe, parts.priors.len(), context)?)
        .enumerate()
    {
        let vs = VarStore::new(context.device);
        recipe.priors[level].network.build(&vs.root(), &spec)?;
        built.push(Built { stage, vs, uses: &network.uses, file: file_of(network), discriminator: None });
    }
    Ok(built)
}

/// What each of `priors` priors is built for. The tokenizers that tell it are gone before the first prior takes its memory.
fn specs(recipe: &Recipe, priors: usize, context: &Context) -> Result<Vec<PriorSpec>> {
    let tokenizers = Tokenizers::build(recipe, context)?;
    let levels = tokenizers.images.codebook_sizes().len();
    if priors != levels {
        let reason =
            format!("the tokenizer has {levels} levels of tokens, and there are {priors} priors; give one for each");
        return Err(InvalidRequest::key("prior", reason).into());
    }
    let (facts, _) = ConditionVocabulary::of_recipe(recipe);
    (0..priors).map(|level| Ok(tokenizers.prior_spec(recipe, level, facts)?)).collect()
}

/// Compares all networks with their tensors before anything is written; of a partial import tells which tensors are left out.
fn check(paths: &[PathBuf], found: &[Examined], built: &[Built], is_partial: bool) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    for (index, (path, found)) in paths.iter().zip(found).enumerate() {
        let mut problems = Problems::none(path);
        for network in built.iter().filter(|network| network.file == index) {
            fill::compare(&fill::variables(&network.vs), network.uses, &mut problems);
            if let Some((vs, discriminator)) = &network.discriminator {
                fill::compare(&fill::variables(vs), &discriminator.uses, &mut problems);
            }
        }
        for name in found.unexplained() {
            problems.superfluous.insert(name.to_owned(), found.set.shape(name).unwrap_or_default().to_vec());
        }
        match (problems.is_empty(), is_partial) {
            (true, _) => {}
            (false, false) => return Err(InteropError::Tensors(Box::new(problems))),
            (false, true) => {
                let superfluous =
                    problems.superfluous.iter().map(|(name, shape)| format!("{name} {shape:?}, not wanted"));
                let misshapen = problems
                    .misshapen
                    .iter()
                    .map(|(name, [wanted, found])| format!("{name}, which has the shape {found:?}, wanted {wanted:?}"));
                left_out.extend(superfluous.chain(misshapen));
            }
        }
    }
    Ok(left_out)
}

/// Writes all networks of a run; gives the names of the variables that stay as they were drawn.
fn write_all(
    mut run: Run,
    built: Vec<Built>,
    files: &[ForeignFile],
    found: &[Examined],
    context: &Context,
) -> Result<Vec<String>> {
    copy_inherited(&mut run, context)?;
    let mut untrained = Vec::new();
    for network in built {
        let (file, examined) = (&files[network.file], &found[network.file]);
        untrained.extend(write(&mut run, network, file, examined)?);
    }
    untrained.sort();
    untrained.dedup();
    Ok(untrained)
}

/// Copies the tokenizer of another run, where the recipe inherits one.
fn copy_inherited(run: &mut Run, context: &Context) -> Result<()> {
    let recipe = std::sync::Arc::clone(run.recipe());
    if let Some(inherited) = &recipe.tokenizer(Modality::Image)?.inherited {
        let output = inherit::copy(run, Modality::Image, inherited, context)?;
        run.finish(Modality::Image.stage(), output)?;
    }
    Ok(())
}

/// Fills a network and writes its checkpoint; gives the names of the variables that no tensor fits.
fn write(run: &mut Run, network: Built, file: &ForeignFile, found: &Examined) -> Result<Vec<String>> {
    let Built { stage, vs, uses, discriminator, .. } = network;
    run.begin(&stage)?;
    let variables = fill::variables(&vs);
    let mut untrained = fill::fill(&variables, uses, file)?;
    let adversary = match &discriminator {
        None => None,
        Some((vs, discriminator)) => {
            let variables = fill::variables(vs);
            let without = fill::fill(&variables, &discriminator.uses, file)?;
            untrained.extend(without.into_iter().map(|name| format!("discriminator.{name}")));
            Some(variables)
        }
    };
    let blake3 = hash(file)?;
    let origin = Source {
        file: file.path(),
        family: found.family.map(|family| family.name()),
        weights: found.set.weights,
        blake3: &blake3,
    };
    let state = State { step: found.steps.unwrap_or(0), ..State::default() };
    let stage_checkpoints = Checkpoints::open(&run.make_folder(&stage)?, 1)?;
    let save = |path: PathBuf, variables: &BTreeMap<String, Tensor>| weights::save(&path, variables, &BTreeMap::new());
    stage_checkpoints.write::<InteropError>(state.step, false, |folder| {
        save(folder.join(MODEL), &variables)?;
        adversary.as_ref().map_or(Ok(()), |variables| save(folder.join(DISCRIMINATOR), variables))?;
        files::write_json(&folder.join(STATE), &state)?;
        Ok(files::write_json(&folder.join(ORIGIN), &origin)?)
    })?;
    let written =
        stage_checkpoints.last()?.ok_or_else(|| InteropError::file(run.path(), "no checkpoint was written"))?;
    let output = Output { path: run.relative(&written), fingerprint: checkpoint_weights::fingerprint(&written)? };
    run.finish(&stage, output)?;
    Ok(untrained.into_iter().collect())
}

/// BLAKE3 of a file and its shards.
fn hash(file: &ForeignFile) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in file.paths() {
        let failed = |source| InteropError::Io { action: "read", path: path.to_owned(), source };
        hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

impl fmt::Display for Imported {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        for (path, found) in &self.checkpoints {
            writeln!(out, "{}: {}", path.display(), found.title.unwrap_or("a checkpoint"))?;
            writeln!(out, "  weights: {}", found.preferred)?;
            found.inferred.iter().try_for_each(|inferred| writeln!(out, "  inferred: {inferred}"))?;
            found.quirks.iter().try_for_each(|quirk| writeln!(out, "  note: {quirk}"))?;
        }
        if !self.untrained.is_empty() {
            writeln!(out, "untrained, with random values: {}", self.untrained.join(", "))?;
        }
        self.left_out.iter().try_for_each(|left_out| writeln!(out, "left out: {left_out}"))?;
        writeln!(out, "{}", self.run.display())
    }
}
