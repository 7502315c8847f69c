//! `vqkit inspect`: describes the contents of a run, a checkpoint or a token file, and what a recipe would build.

pub mod data;
mod prior;
mod recipe;

use std::{
    f64::consts::LN_2,
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Serialize;
use vqkit_data::{guess::is_manifest, is_picture};
use vqkit_evaluate::{CodebookInspector, CodebookReport};
use vqkit_foreign::{Hints, Recognition, checkpoints};
use vqkit_models::Tokenizers;
use vqkit_pretrained::hub;
use vqkit_quantizer::Usage;
use vqkit_recipe::{InvalidRequest, Modality, stage_names};
use vqkit_run::{Context, MODEL, Run, RunError, STATE, StageRecord, is_interruption};
use vqkit_tokens::{TokenHeader, TokenSet, TokenUsage, run_tokens};
use vqkit_torch::weights;

use crate::{error::PipelineError, error::Result};

pub use self::{
    data::{Bad, DataPlan},
    prior::{Bytes, PriorPlan},
    recipe::{RecipePlan, TokenizerPlan},
};

/// Bytes at the beginning of a file that say whether it is an image.
const FIRST_BYTES: u64 = 64;

/// The description of a path.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Inspection {
    /// A run folder.
    Run {
        /// Name of its recipe.
        name: String,
        /// Version of vqkit that created it.
        version: String,
        /// The device.
        device: String,
        /// Its stages, in order.
        stages: Vec<StageRecord>,
        /// Its tokenizers, trained or not: of the images, and of the templates.
        tokenizers: Vec<TokenizerPlan>,
        /// Its trained priors.
        priors: Vec<PriorPlan>,
        /// The codebooks of its tokenizer, once that is trained.
        #[serde(flatten)]
        codebooks: Option<CodebookReport>,
    },
    /// A recipe.
    Recipe(RecipePlan),
    /// A folder or archive of images.
    Data(DataPlan),
    /// A checkpoint of any project.
    Checkpoint(Box<Recognition>),
    /// A folder of such checkpoints.
    Checkpoints {
        /// Their paths, and what they are.
        checkpoints: Vec<(PathBuf, Recognition)>,
    },
    /// A checkpoint folder of a run.
    Weights {
        /// Every tensor: name, kind and shape.
        tensors: Vec<(String, String, Vec<i64>)>,
        /// Total number of values.
        numbers: usize,
        /// The codebooks, for a tokenizer's checkpoint inside its run.
        #[serde(flatten)]
        codebooks: Option<CodebookReport>,
    },
    /// A token file.
    Tokens {
        /// Its header.
        header: TokenHeader,
        /// Number of images.
        images: usize,
        /// Shape of every level's grid, `[Q, *S]`.
        grids: Vec<Vec<i64>>,
        /// Share of used codes, level by level.
        usage: Vec<f64>,
        /// Perplexity of the codes, level by level.
        perplexity: Vec<f64>,
        /// Bits of an image's tokens: at fixed length, and as unigram entropy.
        bits_per_image: [f64; 2],
    },
}

/// Describes a path, or what a location on the Hub holds, and writes charts of its codebooks into the new folder `out`, if requested.
///
/// # Errors
/// When it is none of a run, a checkpoint, a weights file, a token file and a recipe; when charts are requested where
/// there is no trained tokenizer.
pub fn inspect(path: &Path, out: Option<&Path>, context: &Context) -> Result<Inspection> {
    let path = &*hub::local_path(path, &context.observer)?;
    if Run::find(path)? {
        return inspect_run(path, out, context);
    }
    let model = path.join(MODEL);
    if model.is_file() && path.join(STATE).is_file() {
        let subject = CodebookInspector::of_checkpoint(path, context)?;
        return inspect_weights(&model, look(subject, out, || Err(no_codebook(path)))?);
    }
    let is_archive = path.extension().is_some_and(|extension| extension == "tar");
    // Braces may stand for several archives.
    if out.is_none() && (is_archive || is_manifest(path) || is_image(path)) {
        return DataPlan::read(path, &context.interrupt).map(Inspection::Data);
    }
    if !path.exists() {
        return Err(InvalidRequest::option("path", format!("there is nothing at {}", path.display())).into());
    }
    if out.is_some() {
        return Err(no_codebook(path));
    }
    if path.is_dir() && has_checkpoints(path) {
        return inspect_checkpoints(path);
    }
    if path.is_dir() {
        return DataPlan::read(path, &context.interrupt).map(Inspection::Data).map_err(|error| match error {
            error if is_interruption(&error) => error,
            error => {
                let reason =
                    format!("neither a run (no run.json) nor a checkpoint (no model.safetensors) nor images: {error}");
                RunError::artifact(path, reason).into()
            }
        });
    }
    if path.extension().is_some_and(|extension| extension == "toml") {
        return RecipePlan::read(path, context).map(Inspection::Recipe);
    }
    match weights::metadata(path) {
        Ok(metadata) if metadata.contains_key("vqkit") => inspect_tokens(path),
        _ => Ok(Inspection::Checkpoint(Box::new(Recognition::of(path, &Hints::default())?))),
    }
}

/// Whether a path is an image, by its first bytes; a pipe, which may never have any, is none.
fn is_image(path: &Path) -> bool {
    let mut first = Vec::new();
    let mut read = || File::open(path).and_then(|file| file.take(FIRST_BYTES).read_to_end(&mut first));
    path.is_file() && read().is_ok() && is_picture(&first)
}

/// Whether a folder holds checkpoints rather than images.
fn has_checkpoints(folder: &Path) -> bool {
    checkpoints(folder).is_ok()
}

fn inspect_checkpoints(folder: &Path) -> Result<Inspection> {
    let describe = |path: PathBuf| -> Result<_> {
        let found = Recognition::of(&path, &Hints::default())?;
        Ok((path, found))
    };
    let checkpoints = checkpoints(folder)?.into_iter().map(describe).collect::<Result<_>>()?;
    Ok(Inspection::Checkpoints { checkpoints })
}

/// The codebooks of `subject`, and their charts in `out`; `missing` is the error where charts are requested and there
/// are no codebooks.
fn look(
    subject: Option<CodebookInspector>,
    out: Option<&Path>,
    missing: impl FnOnce() -> Result<()>,
) -> Result<Option<CodebookReport>> {
    match (subject, out) {
        (None, None) => Ok(None),
        (None, Some(_)) => missing().map(|()| None),
        (Some(subject), out) => {
            out.map_or(Ok(()), |out| subject.draw(out))?;
            Ok(subject.codebooks().map(Some)?)
        }
    }
}

fn no_codebook(path: &Path) -> PipelineError {
    let path = path.display();
    InvalidRequest::option("out", format!("{path} shows no codebook to draw; name a run with a trained tokenizer, or a checkpoint in its folder tokenizer/"
    )).into()
}

fn inspect_run(path: &Path, out: Option<&Path>, context: &Context) -> Result<Inspection> {
    let run = Run::open(path)?;
    let codebooks =
        look(CodebookInspector::of_run(&run, context)?, out, || Ok(run.require(Modality::Image.stage()).map(drop)?))?;
    let record = run.record().clone();
    let recipe = run.recipe();
    let priors = trained_priors(&run, context)?;
    let plan = |modality: Modality| TokenizerPlan::of(recipe, modality, context);
    let tokenizers = recipe.modalities().into_iter().map(plan).collect::<Result<_>>()?;
    let (name, version, device) = (recipe.head.name.clone(), record.version, record.call.device);
    Ok(Inspection::Run { name, version, device, stages: record.stages, tokenizers, priors, codebooks })
}

fn trained_priors(run: &Run, context: &Context) -> Result<Vec<PriorPlan>> {
    let recipe = run.recipe();
    let stages = stage_names::stages(recipe).into_iter().enumerate();
    let trained: Vec<usize> = stages.filter(|(_, stage)| run.output(stage).is_some()).map(|(level, _)| level).collect();
    if trained.is_empty() {
        return Ok(Vec::new());
    }
    let facts = run_tokens::vocabulary(run)?.facts;
    let tokenizers = Tokenizers::build(recipe, context)?;
    trained.into_iter().map(|level| prior::of_level(recipe, &tokenizers, level, facts)).collect()
}

fn inspect_weights(path: &Path, codebooks: Option<CodebookReport>) -> Result<Inspection> {
    let tensors = weights::read_any(path)?;
    let numbers = tensors.values().map(tch::Tensor::numel).sum();
    let describe = |(name, value): (String, tch::Tensor)| (name, format!("{:?}", value.kind()), value.size());
    Ok(Inspection::Weights { tensors: tensors.into_iter().map(describe).collect(), numbers, codebooks })
}

fn inspect_tokens(path: &Path) -> Result<Inspection> {
    let tokens = TokenSet::open(&[path])?;
    let usage = TokenUsage::of(&tokens)?;
    let tokens_of = |level: usize| tokens.shapes()[level].iter().product::<i64>() as f64;
    let fixed = |(level, sizes): (usize, &Vec<i64>)| {
        let bits: f64 = sizes.iter().map(|size| (*size as f64).log2()).sum();
        tokens_of(level) / sizes.len() as f64 * bits
    };
    let unigram = |(level, usage): (usize, &Usage)| usage.entropy() / LN_2 * tokens_of(level);
    let bits_per_image =
        [tokens.header.sizes.iter().enumerate().map(fixed).sum(), usage.levels().iter().enumerate().map(unigram).sum()];
    Ok(Inspection::Tokens {
        bits_per_image,
        images: tokens.len(),
        grids: tokens.shapes().to_vec(),
        usage: usage.levels().iter().map(|level| level.usage()).collect(),
        perplexity: usage.levels().iter().map(|level| level.perplexity()).collect(),
        header: tokens.header,
    })
}

impl fmt::Display for Inspection {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Run { name, version, device, stages, tokenizers, priors, codebooks } => {
                writeln!(out, "run `{name}`, vqkit {version}, on {device}")?;
                for stage in stages {
                    let done = stage.done.as_ref().map_or("begun", |output| output.path.as_str());
                    writeln!(out, "  {:<16} {done}", stage.name)?;
                }
                tokenizers.iter().try_for_each(|tokenizer| write!(out, "tokenizer: {tokenizer}"))?;
                priors.iter().try_for_each(|prior| prior.fmt(out))?;
                codebooks.as_ref().map_or(Ok(()), |codebooks| codebooks.fmt(out))
            }
            Self::Weights { tensors, numbers, codebooks } => {
                for (name, kind, shape) in tensors {
                    writeln!(out, "{name:<48} {kind:<8} {shape:?}")?;
                }
                writeln!(out, "{} tensors, {numbers} numbers", tensors.len())?;
                codebooks.as_ref().map_or(Ok(()), |codebooks| codebooks.fmt(out))
            }
            Self::Checkpoint(found) => found.fmt(out),
            Self::Checkpoints { checkpoints } => {
                checkpoints.iter().try_for_each(|(path, found)| write!(out, "{}: {found}", path.display()))
            }
            Self::Recipe(plan) => plan.fmt(out),
            Self::Data(plan) => plan.fmt(out),
            Self::Tokens { header, images, grids, usage, perplexity, bits_per_image } => {
                writeln!(out, "{images} images, {} classes, tokenizer {}", header.classes.len(), header.tokenizer)?;
                for (level, grid) in grids.iter().enumerate() {
                    let (codes, usage) = (&header.sizes[level], usage[level] * 100.0);
                    let perplexity = perplexity[level];
                    writeln!(
                        out,
                        "  level {level}: grid {grid:?}, codes {codes:?}, {usage:.1} % in use, perplexity {perplexity:.1}"
                    )?;
                }
                let [fixed, unigram] = bits_per_image;
                writeln!(
                    out,
                    "  {fixed:.0} bits per image at fixed length, {unigram:.0} at the codes' frequencies (unigram)"
                )?;
                for sizes in &header.condition_sizes {
                    writeln!(out, "  conditioned on a grid of codes {sizes:?}")?;
                }
                header.text_vocabulary.map_or(Ok(()), |ids| writeln!(out, "  conditioned on captions of {ids} ids"))
            }
        }
    }
}
