//! Stage `samples`: the priors write tokens, level by level, and the decoder paints them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_priors::{Condition, Sampling, SamplingWeights};
use vqkit_torch::threads;

use crate::{
    context::Context,
    error::{PipelineError, Result},
    files,
    painter::{Painted, Painter},
    pictures::Picture,
    progress::Progress,
    recipe::{Recipe, Sample},
    run::{Output, Run},
    train_prior,
};

pub use crate::painter::wrong_flag;

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "samples";

/// Cells of `grid.png`, at most.
const CELLS: usize = 100;

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
    /// With the size of the grid in tokens, where it is larger than the prior's own.
    sampling: &'r Sampling,
    weights: SamplingWeights,
    count: usize,
    batch_size: usize,
    /// Height and width in pixels.
    size: [u32; 2],
    precision: &'static str,
    device: String,
    threads: i32,
    tokenizer: &'r str,
    priors: Vec<&'r str>,
    samples: Vec<SampleRecord>,
}

/// One picture of `samples.json`.
#[derive(Debug, Serialize)]
struct SampleRecord {
    file: String,
    /// Its noise is a function of the seed and this number.
    sample: u64,
    class: Option<String>,
    /// Of its tokens under the priors, in nats, all levels together: at temperature 1, without guidance and filters.
    log_likelihood: f64,
}

/// A picture of the run's `samples/`.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The PNG file.
    pub path: PathBuf,
    /// The class for which it was drawn.
    pub class: Option<String>,
}

/// The pictures of the run's `samples/`; none where none were drawn.
///
/// # Errors
/// When `samples.json` is there and cannot be read.
pub fn drawn(run: &Run) -> Result<Vec<Drawn>> {
    #[derive(Deserialize)]
    struct Samples {
        samples: Vec<Sample>,
    }
    #[derive(Deserialize)]
    struct Sample {
        file: String,
        class: Option<String>,
    }
    let folder = run.folder(STAGE);
    if run.output(STAGE).is_none() {
        return Ok(Vec::new());
    }
    let Samples { samples } = files::read_json(&folder.join("samples.json"))?;
    Ok(samples.into_iter().map(|Sample { file, class }| Drawn { path: folder.join(file), class }).collect())
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
/// When the run is not trained or its priors cannot draw so, the class is unknown, files cannot be written, or the user
/// leaves.
pub fn write_new(run: &Run, recipe: &Recipe, request: &Request, folder: &Path, context: &Context) -> Result<()> {
    let names = train_prior::classes(run)?;
    let classes = classes(recipe, request, &names)?;
    let painter = Painter::new(run, recipe, &request.sample, names.len(), context)?;
    files::create_folder(folder, |folder| {
        let Pictures { grid, records } = paint(&painter, recipe, request, &names, &classes, folder, context)?;
        let columns = (grid.len() as f64).sqrt().ceil() as usize;
        Picture::grid(&grid, columns).enlarged(enlargement(&grid)).write(&folder.join("grid.png"))?;
        let record = record(run, recipe, request, painter.sampling(), records, context)?;
        files::write_json(&folder.join("samples.json"), &record)
    })
}

/// What was drawn: the cells of `grid.png`, and a record of every picture.
struct Pictures {
    grid: Vec<Picture>,
    records: Vec<SampleRecord>,
}

/// Draws pictures into an existing folder: `000000.png` and on.
fn paint(
    painter: &Painter,
    recipe: &Recipe,
    request: &Request,
    names: &[String],
    classes: &[i64],
    folder: &Path,
    context: &Context,
) -> Result<Pictures> {
    let Sample { count, batch_size, .. } = request.sample;
    let progress = Progress::new(STAGE, "pictures", 0, count as u64);
    let mut pictures = Pictures { grid: Vec::new(), records: Vec::with_capacity(count) };
    for first in (0..count).step_by(batch_size) {
        let batch = batch_size.min(count - first);
        let condition = condition(recipe, &classes[first..first + batch], context);
        let Painted { images, log_likelihood } = painter.paint(condition, batch, first, context)?;
        for ((index, picture), log_likelihood) in (first..).zip(Picture::from_batch(&images)).zip(log_likelihood) {
            let file = format!("{index:06}.png");
            picture.write(&folder.join(&file))?;
            let class = recipe.condition.class.then(|| class_name(names, classes[index]));
            pictures.records.push(SampleRecord { file, sample: index as u64, class, log_likelihood });
            if is_cell(index, count) {
                pictures.grid.push(picture);
            }
        }
        progress.advance(batch as u64);
        if context.interrupt.is_set() {
            return Err(PipelineError::Interrupted);
        }
    }
    progress.finish(&format!("{count} pictures"));
    Ok(pictures)
}

/// Whether a picture is in `grid.png`: all are, or one of every `count / CELLS`, each time the one after, so that classes
/// that come in turn are all there.
fn is_cell(index: usize, count: usize) -> bool {
    if count <= CELLS {
        return true;
    }
    let stride = count / CELLS;
    let (cell, place) = (index / stride, index % stride);
    cell < CELLS && place == cell % stride
}

fn record<'r>(
    run: &'r Run,
    recipe: &Recipe,
    request: &Request,
    sampling: &'r Sampling,
    samples: Vec<SampleRecord>,
    context: &Context,
) -> Result<Record<'r>> {
    let fingerprint = |stage: &str| Ok::<_, PipelineError>(run.require(stage)?.fingerprint.as_str());
    let stages = train_prior::stages(recipe);
    let Sample { weights, count, batch_size, size, .. } = request.sample;
    Ok(Record {
        sampling,
        weights,
        count,
        batch_size,
        size: size.unwrap_or([recipe.data.image_size; 2]),
        precision: if context.kind(recipe.head.precision) == Kind::Float { "fp32" } else { "bf16" },
        device: vqkit_torch::device::name(context.device),
        threads: threads::count(),
        tokenizer: fingerprint(crate::train_tokenizer::STAGE)?,
        priors: stages.iter().map(|stage| fingerprint(stage)).collect::<Result<_>>()?,
        samples,
    })
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
fn enlargement(grid: &[Picture]) -> u32 {
    let longest = grid.first().map_or(1, |picture| picture.size().0.max(picture.size().1));
    (128 / longest.max(1)).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_shows_at_most_a_hundred_pictures_of_all_classes() {
        for (count, cells) in
            [(1, 1), (9, 9), (100, 100), (101, 100), (199, 100), (250, 100), (2000, 100), (10_000, 100)]
        {
            let shown: Vec<usize> = (0..count).filter(|index| is_cell(*index, count)).collect();
            assert_eq!(shown.len(), cells, "{count}");
            let mut classes: Vec<usize> = shown.iter().map(|index| index % 10).collect();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(classes.len(), count.min(10), "{count}");
        }
    }
}
