//! From a condition to pictures: tokens level by level, then the decoder.

use tch::{Kind, Tensor, no_grad};
use vqkit_priors::{Condition, Prior, PriorError, Sampled, Sampling, sample_scored};
use vqkit_torch::Tokens;
use vqkit_vqvae::Tokenizer;

use crate::{
    context::Context,
    error::{PipelineError, Result},
    load,
    recipe::{Recipe, Sample},
    run::Run,
};

/// What turns conditions into pictures; everything that it was asked for can be done.
#[derive(Debug)]
pub struct Painter {
    tokenizer: Tokenizer,
    priors: Vec<Box<dyn Prior>>,
    sampling: Sampling,
    kind: Kind,
}

/// A batch of pictures.
#[derive(Debug)]
pub struct Painted {
    /// `[B, C, H, W]`, not clamped to `[-1, 1]`.
    pub images: Tensor,
    /// Of each picture's tokens under the priors, in nats, all levels together.
    pub log_likelihood: Vec<f64>,
}

impl Painter {
    /// Loads the run's networks and looks at all that `sample` asks of them.
    ///
    /// # Errors
    /// When the run is not trained, or its priors cannot draw so.
    pub fn new(run: &Run, recipe: &Recipe, sample: &Sample, classes: usize, context: &Context) -> Result<Self> {
        let tokenizer = load::tokenizer(run, recipe, context)?;
        let mut priors = load::priors(run, recipe, classes as u32, context)?;
        if priors.is_empty() {
            let reason = "its recipe has no [[prior]], so there is nothing to sample";
            return Err(PipelineError::artifact(run.path(), reason));
        }
        let size = sample.size.map_or(Ok(None), |size| larger_grid(size, recipe, &tokenizer))?;
        let kind = context.kind(recipe.head.precision);
        let sampling = Sampling { size, ..sample.sampling.clone() };
        for prior in &mut priors {
            context.autocast(kind, || prior.set_sampling_weights(sample.weights)).map_err(usage)?;
            sampling.check(prior.as_ref()).map_err(usage)?;
        }
        Ok(Self { tokenizer, priors, sampling, kind })
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Tokens of every level, coarse first, each level's prior told the coarser ones; then the decoder. The pictures are the
    /// samples `first..first + batch`.
    ///
    /// # Errors
    /// When the condition does not fit the priors.
    pub fn paint(&self, mut condition: Condition, batch: usize, first: usize, context: &Context) -> Result<Painted> {
        let mut tokens = Tokens::new();
        let mut log_likelihood = Tensor::zeros([batch as i64], (Kind::Double, context.device));
        for (level, prior) in self.priors.iter().enumerate() {
            let sampling = Sampling { seed: seed_of_level(self.sampling.seed, level), ..self.sampling.clone() };
            let sampled = sample_scored(prior.as_ref(), &condition, batch as i64, &sampling, first as u64, None)?;
            let Sampled { tokens: grid, log_likelihood: of_level } = sampled;
            log_likelihood += of_level;
            condition = condition.with_grid(grid.shallow_clone());
            tokens.push(grid);
        }
        let images = no_grad(|| context.autocast(self.kind, || self.tokenizer.decode(&tokens)))?;
        Ok(Painted { images, log_likelihood: Vec::try_from(log_likelihood)? })
    }
}

/// Noise of its own for every level: with that of the level above, a code would follow from the one at the same place there.
fn seed_of_level(seed: u64, level: usize) -> u64 {
    seed ^ (level as u64) << 56
}

/// The grid `[H, W]` of pictures of this height and width in pixels; none where they are of the size trained on.
pub fn larger_grid(size: [u32; 2], recipe: &Recipe, tokenizer: &Tokenizer) -> Result<Option<[i64; 2]>> {
    let (trained, factor) = (recipe.data.image_size, tokenizer.downsampling());
    let asked = format!("{} x {} pixels", size[0], size[1]);
    let reason = if size == [trained; 2] {
        return Ok(None);
    } else if tokenizer.sizes().len() > 1 {
        "only runs whose tokenizer has one level draw pictures larger than those they were trained on".into()
    } else if size.iter().any(|side| *side < trained) {
        format!("must be at least the run's {trained} x {trained} pixels, got {asked}")
    } else if size.iter().any(|side| i64::from(*side) % factor != 0) {
        format!("must be multiples of the tokenizer's downsampling, {factor} pixels, got {asked}")
    } else {
        return Ok(Some(size.map(|side| i64::from(side) / factor)));
    };
    Err(wrong_flag("size", &reason))
}

/// What priors refuse of a call.
fn usage(error: PriorError) -> PipelineError {
    match error {
        PriorError::Config { field, reason } => wrong_flag(field, &reason),
        other => other.into(),
    }
}

/// A value of `[sample]`, which `vqkit sample` takes as a flag, that is not possible.
pub fn wrong_flag(key: &str, reason: &str) -> PipelineError {
    let flag = match key {
        "cfg_scale" => "cfg".into(),
        key => key.replace('_', "-"),
    };
    PipelineError::Usage(format!("--{flag}: {reason}"))
}
