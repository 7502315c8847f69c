//! `vqkit inspect`: what a run, a checkpoint or a token file holds.

use std::{fmt, path::Path};

use serde::Serialize;
use vqkit_torch::weights;

use crate::{
    error::{PipelineError, Result},
    level_usage::LevelUsage,
    run::{Run, StageRecord},
    token_file::{TokenHeader, TokenSet},
};

/// What was found at a path.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Found {
    /// A run folder.
    Run {
        /// Name of its recipe.
        name: String,
        /// Version of vqkit that began it.
        version: String,
        /// Where it was computed.
        device: String,
        /// Its stages, in order.
        stages: Vec<StageRecord>,
    },
    /// A checkpoint folder or a weights file.
    Weights {
        /// Every tensor: name, kind and shape.
        tensors: Vec<(String, String, Vec<i64>)>,
        /// Numbers in all of them.
        numbers: usize,
    },
    /// A token file.
    Tokens {
        /// What it says of itself.
        header: TokenHeader,
        /// Images.
        images: usize,
        /// Shape of every level's grid, `[Q, *S]`.
        grids: Vec<Vec<i64>>,
        /// Share of codes in use, level by level.
        usage: Vec<f64>,
        /// Perplexity of the codes, level by level.
        perplexity: Vec<f64>,
    },
}

/// Looks at a path.
///
/// # Errors
/// When it is none of a run, a checkpoint, a weights file and a token file.
pub fn inspect(path: &Path) -> Result<Found> {
    if path.join("run.json").is_file() {
        return inspect_run(path);
    }
    let model = path.join("model.safetensors");
    if model.is_file() {
        return inspect_weights(&model);
    }
    if !path.exists() {
        return Err(PipelineError::Usage(format!("there is nothing at {}", path.display())));
    }
    if path.is_dir() {
        let reason = "neither a run (no run.json) nor a checkpoint (no model.safetensors)";
        return Err(PipelineError::artifact(path, reason));
    }
    match weights::metadata(path)?.contains_key("vqkit") {
        true => inspect_tokens(path),
        false => inspect_weights(path),
    }
}

fn inspect_run(path: &Path) -> Result<Found> {
    let run = Run::open(path)?;
    let record = run.record().clone();
    let name = run.recipe()?.head.name;
    Ok(Found::Run { name, version: record.version, device: record.call.device, stages: record.stages })
}

fn inspect_weights(path: &Path) -> Result<Found> {
    let tensors = weights::read(path)?;
    let numbers = tensors.values().map(tch::Tensor::numel).sum();
    let describe = |(name, value): (String, tch::Tensor)| (name, format!("{:?}", value.kind()), value.size());
    Ok(Found::Weights { tensors: tensors.into_iter().map(describe).collect(), numbers })
}

fn inspect_tokens(path: &Path) -> Result<Found> {
    let tokens = TokenSet::read(&[path])?;
    let usage = LevelUsage::of(&tokens)?;
    Ok(Found::Tokens {
        images: tokens.len(),
        grids: tokens.levels.iter().map(|level| level.size()[1..].to_vec()).collect(),
        usage: usage.levels().iter().map(|level| level.usage()).collect(),
        perplexity: usage.levels().iter().map(|level| level.perplexity()).collect(),
        header: tokens.header,
    })
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Run { name, version, device, stages } => {
                writeln!(out, "run `{name}`, vqkit {version}, on {device}")?;
                for stage in stages {
                    let done = stage.done.as_ref().map_or("begun", |output| output.path.as_str());
                    writeln!(out, "  {:<16} {done}", stage.name)?;
                }
                Ok(())
            }
            Self::Weights { tensors, numbers } => {
                for (name, kind, shape) in tensors {
                    writeln!(out, "{name:<48} {kind:<8} {shape:?}")?;
                }
                writeln!(out, "{} tensors, {numbers} numbers", tensors.len())
            }
            Self::Tokens { header, images, grids, usage, perplexity } => {
                writeln!(out, "{images} images, {} classes, tokenizer {}", header.classes.len(), header.tokenizer)?;
                for (level, grid) in grids.iter().enumerate() {
                    let (codes, usage) = (&header.sizes[level], usage[level] * 100.0);
                    let perplexity = perplexity[level];
                    writeln!(
                        out,
                        "  level {level}: grid {grid:?}, codes {codes:?}, {usage:.1} % in use, perplexity {perplexity:.1}"
                    )?;
                }
                Ok(())
            }
        }
    }
}
