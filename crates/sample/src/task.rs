//! Everything that a call draws with, and what it draws.

use std::path::Path;

use tch::Kind;
use vqkit_priors::Given;
use vqkit_recipe::{Domain, Sample, stage_names};
use vqkit_run::Picture;
use vqkit_torch::threads;

use crate::{
    contact_sheet, error::Result, error::SampleError, generator::Painted, generator::Painter, inpaint::Kept,
    prompt::Prompt, prompt::Seen, record::Record, record::SampleRecord, request::Request, resolve::Prompter,
    shape_check::Checked, shape_check::Checker,
};

/// Cells of `grid.png`, at most.
const CELLS: usize = 100;

/// Everything that a call draws with.
pub(crate) struct Task<'t> {
    pub(crate) painter: Painter,
    pub(crate) prompter: Prompter<'t>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) each: usize,
    pub(crate) kept: Option<Kept>,
    pub(crate) request: &'t Request,
}

/// What was drawn.
#[derive(Default)]
pub(crate) struct Drawing {
    /// The cells of `grid.png`.
    pub(crate) grid: Vec<Picture>,
    /// The pictures of every prompt of `sheet.png`.
    pub(crate) rows: Vec<Vec<Picture>>,
    pub(crate) records: Vec<SampleRecord>,
    pub(crate) checker: Option<Checker>,
}

impl Task<'_> {
    /// The prompt of a picture.
    fn seen(&self, index: usize) -> &Seen {
        &self.seen[index / self.each % self.seen.len()]
    }

    /// Draws pictures into an existing folder: `000000.png` and on.
    pub(crate) fn draw(&self, folder: &Path) -> Result<Drawing> {
        let Sample { count, batch_size, .. } = self.request.sample;
        let progress = self.prompter.context.progress(stage_names::SAMPLES, "images", count as u64);
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

    /// Everything that the pictures are a function of, besides the run.
    pub(crate) fn record(&self, samples: Vec<SampleRecord>, checked: Option<Checked>) -> Result<Record> {
        let Prompter { run, recipe, context, .. } = self.prompter;
        let fingerprint = |stage: &str| Ok::<_, SampleError>(run.require(stage)?.fingerprint.clone());
        let Sample { weights, count, batch_size, size, .. } = self.request.sample;
        Ok(Record {
            sampling: self.painter.sampling().clone(),
            weights,
            count,
            batch_size,
            each: self.each,
            size: size.unwrap_or([recipe.data.image_size; 2]),
            precision: if context.kind(recipe.head.precision) == Kind::Float { "fp32" } else { "bf16" }.into(),
            device: vqkit_torch::device::name(context.device),
            threads: threads::count(),
            tokenizer: fingerprint(Domain::Images.stage())?,
            priors: stage_names::stages(recipe).iter().map(|stage| fingerprint(stage)).collect::<Result<_>>()?,
            kept: self.kept.clone(),
            checked,
            samples,
        })
    }

    /// The pictures `first..first + batch`.
    fn paint(&self, first: usize, batch: usize) -> Result<Painted> {
        let prompts: Vec<Prompt> = (first..first + batch).map(|index| self.seen(index).prompt.clone()).collect();
        let condition = self.prompter.condition(&prompts, &self.painter)?;
        let given: Option<Vec<Given>> = self.kept.as_ref().map(|kept| kept.given(batch, &self.painter)).transpose()?;
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
        if row < contact_sheet::ROWS {
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

/// Columns of a grid of so many cells that is about square.
pub(crate) fn square(cells: usize) -> usize {
    (cells as f64).sqrt().ceil() as usize
}

/// Small pictures are drawn larger in the grid, so that people see them.
pub(crate) fn enlargement(grid: &[Picture]) -> u32 {
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
