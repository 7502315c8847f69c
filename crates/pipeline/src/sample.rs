//! Stage `samples`: the priors write tokens, level by level, and the decoder paints them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};
use vqkit_priors::{Condition, Prior, Sampling};
use vqkit_torch::Tokens;
use vqkit_vqvae::Tokenizer;

use crate::{
    context::Context,
    encode::Split,
    error::{PipelineError, Result},
    files, load,
    pictures::Picture,
    progress::Progress,
    recipe::{Recipe, Sample},
    run::{Output, Run},
    train_prior,
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "samples";

/// What to sample.
#[derive(Debug, Clone)]
pub struct Request {
    /// How many, in what batches, and how each token is drawn.
    pub sample: Sample,
    /// The class of every picture, by name or number; none: all classes in turn where the priors know classes.
    pub class: Option<String>,
}

/// `samples.json`: everything that the pictures are a function of, besides the run.
#[derive(Debug, Serialize)]
struct Record<'r> {
    sampling: &'r Sampling,
    count: usize,
    batch_size: usize,
    precision: &'static str,
    tokenizer: &'r str,
    priors: Vec<&'r str>,
    samples: Vec<SampleRecord>,
}

/// One picture of `samples.json`.
#[derive(Debug, Serialize, Deserialize)]
struct SampleRecord {
    file: String,
    /// Its noise is a function of the seed and this number.
    sample: u64,
    class: Option<String>,
}

/// The pictures of the run's `samples/` that were drawn for a class, each with it.
///
/// # Errors
/// When `samples.json` is there and cannot be read.
pub fn drawn_for_a_class(run: &Run) -> Result<Vec<(PathBuf, String)>> {
    #[derive(Deserialize)]
    struct Drawn {
        samples: Vec<SampleRecord>,
    }
    let folder = run.folder(STAGE);
    if run.output(STAGE).is_none() {
        return Ok(Vec::new());
    }
    let drawn: Drawn = files::read_json(&folder.join("samples.json"))?;
    Ok(drawn.samples.into_iter().filter_map(|sample| Some((folder.join(sample.file), sample.class?))).collect())
}

/// Draws the pictures that the recipe asks for into the run's `samples/`.
///
/// # Errors
/// As [`write_new`].
pub fn run_stage(run: &mut Run, recipe: &Recipe, context: &Context) -> Result<Output> {
    run.begin(STAGE)?;
    let request = Request { sample: recipe.sample.clone(), class: None };
    let folder = run.folder(STAGE);
    write_new(run, recipe, &request, &folder, context)?;
    let path = folder.join("samples.json");
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
    Ok(Output { path: STAGE.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Draws pictures into a folder that appears when all are drawn.
///
/// # Errors
/// When the run is not trained, the class is unknown, files cannot be written, or the user leaves.
pub fn write_new(run: &Run, recipe: &Recipe, request: &Request, folder: &Path, context: &Context) -> Result<()> {
    files::create_folder(folder, |folder| write(run, recipe, request, folder, context))
}

/// Draws pictures into an existing folder: `000000.png` and on, `grid.png`, `samples.json`.
fn write(run: &Run, recipe: &Recipe, request: &Request, folder: &Path, context: &Context) -> Result<()> {
    let names = train_prior::read_tokens(run, Split::Train)?.header.classes;
    let classes = classes(recipe, request, &names)?;
    let tokenizer = load::tokenizer(run, recipe, context)?;
    let priors = load::priors(run, recipe, names.len() as u32, context)?;
    if priors.is_empty() {
        return Err(PipelineError::artifact(run.path(), "its recipe has no [[prior]], so there is nothing to sample"));
    }
    let progress = Progress::new(STAGE, "pictures", 0, request.sample.count as u64);
    let (mut pictures, mut records) = (Vec::new(), Vec::new());
    for first in (0..request.sample.count).step_by(request.sample.batch_size) {
        let batch = request.sample.batch_size.min(request.sample.count - first);
        let condition = condition(recipe, &classes[first..first + batch], context);
        let painter = Painter { tokenizer: &tokenizer, priors: &priors, sampling: &request.sample.sampling };
        let painted = painter.paint(condition, batch, first, recipe, context)?;
        for (index, picture) in (first..).zip(Picture::from_batch(&painted)) {
            let file = format!("{index:06}.png");
            picture.write(&folder.join(&file))?;
            let class = recipe.condition.class.then(|| class_name(&names, classes[index]));
            records.push(SampleRecord { file, sample: index as u64, class });
            pictures.push(picture);
        }
        progress.advance(batch as u64);
        if context.interrupt.is_set() {
            return Err(PipelineError::Interrupted);
        }
    }
    let columns = (pictures.len() as f64).sqrt().ceil() as usize;
    Picture::grid(&pictures, columns).enlarged(enlargement(recipe)).write(&folder.join("grid.png"))?;
    write_record(run, recipe, request, records, folder, context)?;
    progress.finish(&format!("{} pictures", pictures.len()));
    Ok(())
}

fn write_record(
    run: &Run,
    recipe: &Recipe,
    request: &Request,
    samples: Vec<SampleRecord>,
    folder: &Path,
    context: &Context,
) -> Result<()> {
    let fingerprint = |stage: &str| Ok::<_, PipelineError>(run.require(stage)?.fingerprint.as_str());
    let stages = train_prior::stages(recipe);
    let record = Record {
        sampling: &request.sample.sampling,
        count: request.sample.count,
        batch_size: request.sample.batch_size,
        precision: if context.kind(recipe.head.precision) == Kind::Float { "fp32" } else { "bf16" },
        tokenizer: fingerprint(crate::train_tokenizer::STAGE)?,
        priors: stages.iter().map(|stage| fingerprint(stage)).collect::<Result<_>>()?,
        samples,
    };
    files::write_json(&folder.join("samples.json"), &record)
}

/// What turns a condition into pictures.
struct Painter<'p> {
    tokenizer: &'p Tokenizer,
    priors: &'p [Box<dyn Prior>],
    sampling: &'p Sampling,
}

impl Painter<'_> {
    /// Tokens of every level, coarse first, each level's prior told the coarser ones; then the decoder.
    fn paint(
        &self,
        mut condition: Condition,
        batch: usize,
        first: usize,
        recipe: &Recipe,
        context: &Context,
    ) -> Result<Tensor> {
        let kind = context.kind(recipe.head.precision);
        let mut tokens = Tokens::new();
        for prior in self.priors {
            let draw =
                || vqkit_priors::sample(prior.as_ref(), &condition, batch as i64, self.sampling, first as u64, None);
            let grid = context.autocast(kind, draw)?;
            condition = condition.with_grid(grid.shallow_clone());
            tokens.push(grid);
        }
        Ok(no_grad(|| context.autocast(kind, || self.tokenizer.decode(&tokens)))?)
    }
}

/// The class of every sample: the one asked for, or all in turn.
fn classes(recipe: &Recipe, request: &Request, names: &[String]) -> Result<Vec<i64>> {
    let count = request.sample.count;
    match &request.class {
        None => Ok((0..count).map(|index| (index % names.len().max(1)) as i64).collect()),
        Some(_) if !recipe.condition.class => {
            let message = "--class: this run's priors were trained without classes (condition.class = false)";
            Err(PipelineError::Usage(message.into()))
        }
        Some(wanted) => {
            let by_name = names.iter().position(|name| name == wanted);
            let by_number = || wanted.parse().ok().filter(|number| *number < names.len());
            let class = by_name.or_else(by_number).ok_or_else(|| {
                let names = names.join(", ");
                PipelineError::Usage(format!("--class: there is no class `{wanted}`; the run knows {names}"))
            })?;
            Ok(vec![class as i64; count])
        }
    }
}

fn class_name(names: &[String], class: i64) -> String {
    names.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
}

fn condition(recipe: &Recipe, classes: &[i64], context: &Context) -> Condition {
    match recipe.condition.class {
        true => Condition::none().with_class(Tensor::from_slice(classes).to_device(context.device)),
        false => Condition::none(),
    }
}

/// Small pictures are drawn larger in the grid, so that people see them.
fn enlargement(recipe: &Recipe) -> u32 {
    (128 / recipe.data.image_size).clamp(1, 4)
}
