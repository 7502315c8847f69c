//! `samples.json`: everything that the images depend on, besides the run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vqkit_priors::{Sampling, WeightDtype};
use vqkit_recipe::{InvalidRequest, Modality, Sample, stage_names};
use vqkit_run::{Run, files};

use crate::{
    error::Result, inpaint::KeptTokens, prompt::Prompt, request::Prompts, request::Request, shape_check::ShapeAccuracy,
};

/// The name of the record, beside the images.
pub(crate) const RECORD: &str = "samples.json";

/// `samples.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The sampling options, with the size of the grid in tokens where it is larger than in training.
    pub(crate) sampling: Sampling,
    pub(crate) weight_dtype: WeightDtype,
    pub(crate) count: usize,
    pub(crate) batch_size: usize,
    /// Consecutive images of the same prompt.
    pub(crate) samples_per_condition: usize,
    /// Height and width in pixels.
    pub(crate) size: [u32; 2],
    pub(crate) precision: String,
    pub(crate) device: String,
    pub(crate) threads: i32,
    pub(crate) tokenizer: String,
    pub(crate) priors: Vec<String>,
    /// The known tokens of every image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<KeptTokens>,
    /// What the checker of the built-in shapes found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shape_accuracy: Option<ShapeAccuracy>,
    pub(crate) samples: Vec<SampleRecord>,
}

/// One image of `samples.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Its file, beside the record.
    pub file: String,
    /// Its number; its random numbers depend only on the seed and this number.
    pub sample: u64,
    #[serde(flatten)]
    /// What it was conditioned on.
    pub prompt: Prompt,
    /// Log-likelihood of its tokens under the priors, in nats, summed over all levels, at temperature 1, without
    /// guidance and filters.
    pub log_likelihood: f64,
}

/// A generated image.
#[derive(Debug, Clone)]
pub struct SampleFile {
    /// The PNG file.
    pub path: PathBuf,
    /// The class for which it was generated; of a run without classes, the caption.
    pub class: Option<String>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is missing, or is not such a file.
    pub fn read(path: &Path) -> Result<Self> {
        match path.is_file() {
            true => Ok(files::read_json(path)?),
            false => Err(InvalidRequest::option("replay", format!("there is no file {}", path.display())).into()),
        }
    }

    /// The request that generates the same images again.
    ///
    /// # Errors
    /// [`InvalidRequest`] where they come from another run.
    pub fn again(self, run: &Run) -> Result<Request> {
        let stages = stage_names::stages(run.recipe());
        let is = |stage: &str, found: &String| run.output(stage).is_some_and(|output| output.fingerprint == *found);
        let same_priors =
            stages.len() == self.priors.len() && stages.iter().zip(&self.priors).all(|(stage, found)| is(stage, found));
        if !is(Modality::Image.stage(), &self.tokenizer) || !same_priors {
            return Err(InvalidRequest::option(
                "replay",
                "these images were generated with weights other than those of the run",
            )
            .into());
        }
        if self.samples.is_empty() {
            return Err(InvalidRequest::option("replay", "there is no image in this record").into());
        }
        let prompts: Vec<Prompt> = self.samples.into_iter().map(|sample| sample.prompt).collect();
        let sample = Sample {
            count: prompts.len(),
            batch_size: self.batch_size.max(1),
            samples_per_condition: 1,
            weight_dtype: self.weight_dtype,
            size: Some(self.size),
            sampling: self.sampling.with_size(None),
        };
        Ok(Request { sample, prompts: Prompts::Recorded(prompts, self.kept), keep: None })
    }
}

/// The images of the run's `samples/`; empty where none were generated.
///
/// # Errors
/// When `samples.json` is there and cannot be read.
pub fn drawn(run: &Run) -> Result<Vec<SampleFile>> {
    match run.output(stage_names::SAMPLES) {
        Some(_) => drawn_in(&run.folder(stage_names::SAMPLES)),
        None => Ok(Vec::new()),
    }
}

/// The images of a folder that was written by `vqkit sample`; empty for another folder.
///
/// # Errors
/// When there is a `samples.json`, and it cannot be read.
pub fn drawn_in(folder: &Path) -> Result<Vec<SampleFile>> {
    let path = folder.join(RECORD);
    let record: Option<Record> = path.is_file().then(|| files::read_json(&path)).transpose()?;
    let samples = record.into_iter().flat_map(|record| record.samples);
    let file =
        |SampleRecord { file, prompt, .. }| SampleFile { path: folder.join(file), class: prompt.class.or(prompt.text) };
    Ok(samples.map(file).collect())
}

/// How the run's `samples/` were generated.
///
/// # Errors
/// When `samples.json` is there and cannot be read.
pub fn settings(run: &Run) -> Result<Option<Sampling>> {
    Ok(of_run(run)?.map(|record| record.sampling))
}

/// What the checker of the built-in shapes found in the run's `samples/`.
///
/// # Errors
/// When `samples.json` is there and cannot be read.
pub fn shape_accuracy(run: &Run) -> Result<Option<ShapeAccuracy>> {
    Ok(of_run(run)?.and_then(|record| record.shape_accuracy))
}

fn of_run(run: &Run) -> Result<Option<Record>> {
    Ok(run
        .output(stage_names::SAMPLES)
        .map(|_| files::read_json(&run.folder(stage_names::SAMPLES).join(RECORD)))
        .transpose()?)
}
