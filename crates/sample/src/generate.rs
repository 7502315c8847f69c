//! Stage `samples`, `vqkit sample` and `vqkit complete`: the priors write tokens, level by level, and the decoder paints them.

use std::path::{Path, PathBuf};

use vqkit_data::{Dataset, PictureReader};
use vqkit_recipe::{Recipe, stage_names};
use vqkit_run::{Context, Output, Picture, Run, RunError, StageLog, files};
use vqkit_tokens::{Conditioner, Split, run_tokens};

use crate::{
    contact_sheet, error::Result, generator::Painter, request::Prompts, request::Request, resolve::Prompter,
    shape_check::Checked, shape_check::Checker, task, task::Task,
};

/// Draws the pictures that the recipe asks for into the run's `samples/`.
///
/// # Errors
/// As [`write()`].
pub fn run_stage(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(stage_names::SAMPLES)?;
    let Written { folder, .. } = write(run, recipe, &Request::of_recipe(recipe), Some(data), &Target::Stage, context)?;
    let mut log = StageLog::open(run.path(), stage_names::SAMPLES)?;
    for name in ["grid", "sheet"] {
        let path = folder.join(format!("{name}.png"));
        if path.is_file() {
            log.picture(0, name, &Picture::read(&path, &PictureReader::default())?)?;
        }
    }
    log.flush()?;
    let path = folder.join("samples.json");
    let bytes = std::fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
    Ok(Output { path: stage_names::SAMPLES.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
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
            Self::Stage => {
                files::replace(&run.folder(stage_names::SAMPLES), fill).map(|()| run.folder(stage_names::SAMPLES))
            }
            Self::Numbered => {
                // What stays costs room and nothing else.
                let _ = files::sweep(run.path());
                files::create_numbered(run.path(), stage_names::SAMPLES, fill)
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
    let header = run_tokens::header(run)?;
    let conditioner = Conditioner::of_run(run, recipe, Split::HeldOut, context)?;
    let prompter = Prompter { run, recipe, conditioner: &conditioner, classes: &header.classes, context };
    let painter = Painter::new(run, recipe, &request.sample, header.facts(), context)?;
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
        Picture::grid(&drawing.grid, task::square(drawing.grid.len()))
            .enlarged(task::enlargement(&drawing.grid))
            .write(&folder.join("grid.png"))?;
        if let Some(sheet) = contact_sheet::draw(&task.seen, &drawing.rows, recipe)? {
            sheet.write(&folder.join("sheet.png"))?;
        }
        let record = task.record(drawing.records, checked)?;
        Ok(files::write_json(&folder.join("samples.json"), &record)?)
    })?;
    Ok(Written { folder, checked })
}
