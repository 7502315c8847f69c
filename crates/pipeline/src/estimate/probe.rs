//! A short run of a recipe, to see what its parts take.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use vqkit_data::{Dataset, View};
use vqkit_recipe::Recipe;
use vqkit_run::Context;

use super::stopwatch::{Lap, Stopwatch};
use crate::{
    error::Result,
    experiment::Experiment,
    stages::{self, Stage},
};

/// The most images that a probe encodes of each part of the data.
const MOST_IMAGES: usize = 512;

/// What a probe took.
#[derive(Debug)]
pub struct Probe {
    /// What every stage took, in order.
    pub laps: Vec<(Stage, Lap)>,
    /// Bytes of the files of every stage.
    pub bytes: BTreeMap<String, u64>,
    /// Training images of the probe, and of the recipe.
    pub train: (usize, usize),
    /// Validation images of the probe, and of the recipe.
    pub validation: (usize, usize),
    /// Samples of the probe.
    pub samples: usize,
}

impl Probe {
    /// What a stage took.
    pub fn lap(&self, stage: &Stage) -> Option<&Lap> {
        self.laps.iter().find(|(found, _)| found == stage).map(|(_, lap)| lap)
    }

    /// Runs the stages `wanted` of `recipe`, in which the caller has set numbers of steps, in the new folder `path`, on the first
    /// images of its data.
    pub fn run(recipe: &Recipe, wanted: impl Fn(&Stage) -> bool, path: &Path, context: &Context) -> Result<Self> {
        let stopwatch = Arc::new(Stopwatch::new(Arc::clone(&context.observer)));
        let timed = Context { observer: stopwatch.clone(), ..context.clone() };
        let experiment = Experiment::new(recipe.clone(), None, &timed)?;
        let recipe = experiment.recipe().clone();
        let mut session = experiment.begin(path)?;
        let full = match session.data.take() {
            Some(data) => data,
            None => stages::open_data(&recipe)?,
        };
        let data = Dataset { train: first(&full.train, &recipe), validation: first(&full.validation, &recipe) };
        let (train, validation) =
            ((data.train.len(), full.train.len()), (data.validation.len(), full.validation.len()));
        session.data = Some(data);
        let (mut laps, mut bytes) = (Vec::new(), BTreeMap::new());
        for stage in Stage::of(&recipe).into_iter().filter(wanted) {
            let name = stage.name(&recipe);
            let (done, lap) = stopwatch.time(|| session.run_stage(&stage));
            done?;
            bytes.insert(name.clone(), bytes_in(&path.join(&name)));
            laps.push((stage, lap));
        }
        Ok(Self { laps, bytes, train, validation, samples: recipe.sample.count })
    }
}

/// The first images, as many as a probe needs: enough for some batches of any stage.
fn first(view: &View, recipe: &Recipe) -> View {
    let stages = Stage::of(recipe);
    let batches = stages.iter().filter_map(|stage| Some(stage.train_of(recipe)?.batch_size * 4));
    view.first(batches.max().unwrap_or(0).max(MOST_IMAGES))
}

/// Bytes of all files below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.map(bytes).sum()
}
