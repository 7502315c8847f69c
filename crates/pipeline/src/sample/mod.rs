//! Stage `samples`, `vqkit sample` and `vqkit complete`: the priors write tokens, level by level, and the decoder paints them.

mod keep;
mod prompt;
mod record;
mod sheet;
mod vectors;

use std::path::{Path, PathBuf};

use vqkit_data::{Dataset, PictureReader};
use vqkit_priors::KnownTokens;

use crate::{
    checked::{Checked, Checker},
    conditioner::Conditioner,
    context::Context,
    encode::Split,
    error::{PipelineError, Result},
    files,
    log::StageLog,
    painter::{Painted, Painter},
    pictures::Picture,
    prior_spec::Facts,
    progress::Progress,
    recipe::{Recipe, Sample},
    run::{Output, Run},
    train_prior,
};

pub use self::{
    keep::{Keep, Kept, Side},
    prompt::{Asked, Prompt},
    record::{Drawn, Record, checked, drawn, settings},
};
use self::{
    prompt::{Prompter, Seen},
    record::SampleRecord,
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
    /// What the pictures are conditioned on.
    pub prompts: Prompts,
    /// What is given of every picture.
    pub keep: Option<Keep>,
}

/// What the pictures are conditioned on.
#[derive(Debug, Clone)]
pub enum Prompts {
    /// As asked, each `each` times in a row.
    Asked {
        /// What is asked for.
        asked: Asked,
        /// Pictures of every prompt, at least 1.
        each: usize,
    },
    /// As a record has them, with what it kept of a picture.
    Recorded(Vec<Prompt>, Option<Kept>),
}

impl Request {
    /// What the recipe asks for.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let prompts = Prompts::Asked { asked: Asked::default(), each: recipe.sample.each };
        Self { sample: recipe.sample.clone(), prompts, keep: None }
    }
}

/// Draws the pictures that the recipe asks for into the run's `samples/`.
///
/// # Errors
/// As [`write()`].
pub fn run_stage(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(STAGE)?;
    let Written { folder, .. } = write(run, recipe, &Request::of_recipe(recipe), Some(data), &Target::Stage, context)?;
    let mut log = StageLog::open(run.path(), STAGE)?;
    for name in ["grid", "sheet"] {
        let path = folder.join(format!("{name}.png"));
        if path.is_file() {
            log.picture(0, name, &Picture::read(&path, &PictureReader::default())?)?;
        }
    }
    log.flush()?;
    let path = folder.join("samples.json");
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
    Ok(Output { path: STAGE.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Where pictures are to lie.
#[derive(Debug, Clone)]
pub enum Target {
    /// In the run's `samples/`, in place of those that lie there.
    Stage,
    /// In `samples-N` inside the run, by the first number that is free when all are drawn.
    Numbered,
    /// In a new folder.
    New(PathBuf),
}

impl Target {
    /// The folder, which appears when `fill` has filled it.
    fn fill(&self, run: &Run, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        match self {
            Self::Stage => files::replace(&run.folder(STAGE), fill).map(|()| run.folder(STAGE)),
            Self::Numbered => {
                // What stays costs room and nothing else.
                let _ = files::sweep(run.path());
                files::create_numbered(run.path(), STAGE, fill)
            }
            Self::New(path) => files::create(path, fill).map(|()| path.clone()),
        }
    }
}

/// What was drawn, and where it lies.
#[derive(Debug)]
pub struct Written {
    /// The folder.
    pub folder: PathBuf,
    /// What the checker found, where the data are the built-in shapes.
    pub checked: Option<Checked>,
}

/// Draws pictures into a folder that appears when all are drawn.
///
/// # Errors
/// When the run is not trained or its priors cannot draw so, it does not take a condition, files cannot be written, or the user
/// leaves.
pub fn write(
    run: &Run,
    recipe: &Recipe,
    request: &Request,
    data: Option<&Dataset>,
    target: &Target,
    context: &Context,
) -> Result<Written> {
    let header = train_prior::header(run)?;
    let conditioner = Conditioner::of_run(run, recipe, Split::HeldOut, context)?;
    let prompter = Prompter { run, recipe, conditioner: &conditioner, classes: &header.classes, context };
    let painter = Painter::new(run, recipe, &request.sample, Facts::of_header(&header), context)?;
    let (seen, each) = match &request.prompts {
        Prompts::Asked { asked, each } => {
            prompter.check(asked, &painter)?;
            (prompter.prompts(asked, data, request.sample.count.div_ceil(*each), painter.size())?, *each)
        }
        Prompts::Recorded(prompts, _) => (prompter.recorded(prompts.clone())?, 1),
    };
    let kept = match (&request.keep, &request.prompts) {
        (Some(keep), _) => Some(keep.of_image(recipe, &painter, context)?),
        (None, Prompts::Recorded(_, kept)) => kept.clone(),
        (None, Prompts::Asked { .. }) => None,
    };
    let task = Task { painter, prompter, seen, each, kept, request };
    let mut checked = None;
    let folder = target.fill(run, |folder| {
        let drawing = task.draw(folder)?;
        checked = drawing.checker.and_then(Checker::finish);
        Picture::grid(&drawing.grid, square(drawing.grid.len()))
            .enlarged(enlargement(&drawing.grid))
            .write(&folder.join("grid.png"))?;
        if let Some(sheet) = sheet::draw(&task.seen, &drawing.rows, recipe)? {
            sheet.write(&folder.join("sheet.png"))?;
        }
        let record = Record::new(run, recipe, &task, drawing.records, checked, context)?;
        files::write_json(&folder.join("samples.json"), &record)
    })?;
    Ok(Written { folder, checked })
}

/// Everything that a call draws with.
struct Task<'t> {
    painter: Painter,
    prompter: Prompter<'t>,
    seen: Vec<Seen>,
    each: usize,
    kept: Option<Kept>,
    request: &'t Request,
}

/// What was drawn.
#[derive(Default)]
struct Drawing {
    /// The cells of `grid.png`.
    grid: Vec<Picture>,
    /// The pictures of every prompt of `sheet.png`.
    rows: Vec<Vec<Picture>>,
    records: Vec<SampleRecord>,
    checker: Option<Checker>,
}

impl Task<'_> {
    /// The prompt of a picture.
    fn seen(&self, index: usize) -> &Seen {
        &self.seen[index / self.each % self.seen.len()]
    }

    /// Draws pictures into an existing folder: `000000.png` and on.
    fn draw(&self, folder: &Path) -> Result<Drawing> {
        let Sample { count, batch_size, .. } = self.request.sample;
        let progress = Progress::new(STAGE, "pictures", 0, count as u64);
        let mut drawing = Drawing { checker: Checker::of(self.prompter.recipe), ..Drawing::default() };
        for first in (0..count).step_by(batch_size) {
            self.prompter.context.interrupt.check()?;
            let batch = batch_size.min(count - first);
            let Painted { images, log_likelihood } = self.paint(first, batch)?;
            for ((index, picture), log_likelihood) in (first..).zip(Picture::from_batch(&images)).zip(log_likelihood) {
                self.keep(&mut drawing, folder, index, picture, log_likelihood)?;
            }
            progress.advance(batch as u64);
        }
        progress.finish(&format!("{count} pictures"));
        Ok(drawing)
    }

    /// The pictures `first..first + batch`.
    fn paint(&self, first: usize, batch: usize) -> Result<Painted> {
        let prompts: Vec<Prompt> = (first..first + batch).map(|index| self.seen(index).prompt.clone()).collect();
        let condition = self.prompter.condition(&prompts, &self.painter)?;
        let given: Option<Vec<KnownTokens>> =
            self.kept.as_ref().map(|kept| kept.given(batch, &self.painter)).transpose()?;
        self.painter.paint(condition, given.as_deref(), batch, first, self.prompter.context)
    }

    /// Writes a picture, and notes all that is to be known of it.
    fn keep(
        &self,
        drawing: &mut Drawing,
        folder: &Path,
        index: usize,
        picture: Picture,
        log_likelihood: f64,
    ) -> Result<()> {
        let file = format!("{index:06}.png");
        picture.write(&folder.join(&file))?;
        let seen = self.seen(index);
        if let Some(checker) = &mut drawing.checker {
            checker.add(&picture, &seen.prompt, seen.template.as_ref())?;
        }
        let prompt = seen.prompt.clone();
        drawing.records.push(SampleRecord { file, sample: index as u64, prompt, log_likelihood });
        let row = index / self.each;
        if row < sheet::ROWS {
            drawing.rows.resize(drawing.rows.len().max(row + 1), Vec::new());
            drawing.rows[row].push(picture.clone());
        }
        if is_cell(index, self.request.sample.count) {
            drawing.grid.push(picture);
        }
        Ok(())
    }
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

fn square(cells: usize) -> usize {
    (cells as f64).sqrt().ceil() as usize
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
