//! Stage `samples`, and folders of samples: images as PNGs, overviews, and the record of how they were generated.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vqkit_data::{Dataset, PictureReader};
use vqkit_recipe::stage_names;
use vqkit_run::{Context, Output, RgbImage, Run, RunError, StageLog, files};

use crate::{
    contact_sheet,
    error::Result,
    generated_image::GeneratedImage,
    generator::Generator,
    record::{RECORD, SampleRecord},
    request::Request,
    shape_check::{ShapeAccuracy, ShapeChecker},
    task::Task,
};

/// Largest number of cells of `grid.png`.
const CELLS: usize = 100;

/// Generates the images that the recipe specifies into the run's `samples/`.
///
/// # Errors
/// As [`write()`].
pub fn run_stage(run: &mut Run, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(stage_names::SAMPLES)?;
    let mut generator = Generator::open(run, context)?;
    let request = Request::of_recipe(generator.recipe());
    let Written { folder, .. } = write(&mut generator, run, &request, Some(data), &Target::Stage)?;
    let mut log = StageLog::open(run.path(), stage_names::SAMPLES)?;
    for name in ["grid", "sheet"] {
        let path = folder.join(stage_names::OVERVIEW).join(format!("{name}.png"));
        if path.is_file() {
            log.picture(0, name, &RgbImage::read(&path, &PictureReader::default())?)?;
        }
    }
    log.flush()?;
    let path = folder.join(RECORD);
    let bytes = fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
    Ok(Output { path: stage_names::SAMPLES.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// The folder that images are written to.
#[derive(Debug, Clone)]
pub enum Target {
    /// The run's `samples/`, replacing the images there.
    Stage,
    /// `samples-N` inside the run, with the first number that is free when all images are generated.
    Numbered,
    /// `NAME-N` in a folder, with the first free number: `shapes-1`.
    NumberedIn {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// A new folder.
    New(PathBuf),
}

impl Target {
    /// Creates the folder, which appears when `fill` has filled it.
    fn fill(&self, run: &Run, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        match self {
            Self::Stage => {
                files::replace(&run.folder(stage_names::SAMPLES), fill).map(|()| run.folder(stage_names::SAMPLES))
            }
            Self::Numbered => {
                // If this fails, the rest only takes up space.
                let _ = files::sweep(run.path());
                files::create_numbered(run.path(), stage_names::SAMPLES, fill)
            }
            Self::NumberedIn { folder, name } => files::create_numbered(folder, name, fill),
            Self::New(path) => files::create(path, fill).map(|()| path.clone()),
        }
    }
}

/// The generated images on disk.
#[derive(Debug)]
pub struct Written {
    /// The folder.
    pub folder: PathBuf,
    /// What the checker found, where the data are the built-in shapes.
    pub shape_accuracy: Option<ShapeAccuracy>,
}

/// Generates images into a folder that appears when all are generated.
///
/// # Errors
/// As [`Generator::generate`]; when files cannot be written.
pub fn write(
    generator: &mut Generator,
    run: &Run,
    request: &Request,
    data: Option<&Dataset>,
    target: &Target,
) -> Result<Written> {
    let task = generator.begin(request, data)?;
    let mut shape_accuracy = None;
    let folder = target.fill(run, |folder| {
        let mut drawing = Drawing { checker: ShapeChecker::of(&task.prompter.recipe), ..Drawing::default() };
        task.draw(|image| drawing.keep(&task, folder, image))?;
        drawing.write_overview(&task, &folder.join(stage_names::OVERVIEW))?;
        shape_accuracy = drawing.checker.and_then(ShapeChecker::finish);
        let record = task.record(drawing.records, shape_accuracy)?;
        Ok(files::write_json(&folder.join(RECORD), &record)?)
    })?;
    Ok(Written { folder, shape_accuracy })
}

/// What is kept in memory of the images that were written.
#[derive(Default)]
struct Drawing {
    /// The cells of `grid.png`.
    grid: Vec<RgbImage>,
    /// The images of every prompt of `sheet.png`.
    rows: Vec<Vec<RgbImage>>,
    records: Vec<SampleRecord>,
    checker: Option<ShapeChecker>,
}

impl Drawing {
    /// Writes `grid.png` and, where images have conditions to be shown, `sheet.png` into the new folder `overview`.
    fn write_overview(&self, task: &Task, overview: &Path) -> Result<()> {
        fs::create_dir(overview).map_err(|source| RunError::io("create", overview, source))?;
        RgbImage::grid(&self.grid, square(self.grid.len()))
            .enlarged(enlargement(&self.grid))
            .write(&overview.join("grid.png"))?;
        match contact_sheet::draw(&task.seen, &self.rows, &task.prompter.recipe)? {
            Some(sheet) => Ok(sheet.write(&overview.join("sheet.png"))?),
            None => Ok(()),
        }
    }

    /// Writes an image, and collects its entry of the record.
    fn keep(&mut self, task: &Task, folder: &Path, image: GeneratedImage) -> Result<()> {
        let GeneratedImage { picture, prompt, sample, log_likelihood } = image;
        let index = sample as usize;
        let file = format!("{index:06}.png");
        picture.write(&folder.join(&file))?;
        if let Some(checker) = &mut self.checker {
            checker.add(&picture, &prompt, task.seen(index).template.as_ref())?;
        }
        self.records.push(SampleRecord { file, sample, prompt, log_likelihood });
        let row = index / task.samples_per_condition;
        if row < contact_sheet::ROWS {
            self.rows.resize(self.rows.len().max(row + 1), Vec::new());
            self.rows[row].push(picture.clone());
        }
        if is_cell(index, task.request.sample.count) {
            self.grid.push(picture);
        }
        Ok(())
    }
}

/// Whether an image is in `grid.png`: all are, or one of every `count / CELLS`, with the offset increased each time, so
/// that classes that alternate all occur.
fn is_cell(index: usize, count: usize) -> bool {
    if count <= CELLS {
        return true;
    }
    let stride = count / CELLS;
    let (cell, place) = (index / stride, index % stride);
    cell < CELLS && place == cell % stride
}

/// Number of columns of an approximately square grid with this many cells.
fn square(cells: usize) -> usize {
    (cells as f64).sqrt().ceil() as usize
}

/// The factor by which small images are enlarged in the grid.
fn enlargement(grid: &[RgbImage]) -> u32 {
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
