//! From a condition to images: tokens level by level, then the decoder.

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_models::{ConditionVocabulary, load};
use vqkit_priors::{Condition, KnownTokens, Prior, PriorError, SampleOptions, Sampled, Sampling};
use vqkit_recipe::{InvalidRequest, Modality, Recipe, Sample};
use vqkit_run::{Context, Run, RunError};
use vqkit_torch::{Tokens, attempt, memory};
use vqkit_vqvae::Tokenizer;

use crate::{error::Result, error::SampleError};

/// The networks of a run that turn conditions into images, and the options of sampling.
#[derive(Debug)]
pub struct Networks {
    tokenizer: Tokenizer,
    priors: Vec<Box<dyn Prior>>,
    sampling: Sampling,
    kind: Kind,
    /// Height and width in pixels of the images.
    size: [u32; 2],
}

/// A batch of images.
#[derive(Debug)]
pub struct Generated {
    /// `[B, C, H, W]`, not clamped to `[-1, 1]`.
    pub images: Tensor,
    /// Log-likelihood of each image's tokens under the priors, in nats, summed over all levels.
    pub log_likelihood: Vec<f64>,
}

impl Networks {
    /// Loads the networks of a run, with the options of `[sample]` in its recipe.
    ///
    /// # Errors
    /// When the run is not trained, or has no prior.
    pub fn load(run: &Run, facts: ConditionVocabulary, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let tokenizer = load::tokenizer(run, Modality::Image, context)?;
        let priors = load::priors(run, facts, context)?;
        if priors.is_empty() {
            let reason = "its recipe has no [[prior]], so there is nothing to sample";
            return Err(RunError::artifact(run.path(), reason).into());
        }
        let kind = context.kind(recipe.head.precision);
        let sampling = recipe.sample.sampling.clone();
        Ok(Self { tokenizer, priors, sampling, kind, size: [recipe.data.image_size; 2] })
    }

    /// Uses the options of `sample` from now on.
    ///
    /// # Errors
    /// When the priors do not support the options, or there is not enough memory.
    pub fn configure(&mut self, sample: &Sample, recipe: &Recipe, context: &Context) -> Result<()> {
        let size = sample.size.map_or(Ok(None), |size| larger_grid(size, recipe, &self.tokenizer))?;
        let sampling = sample.sampling.clone().with_size(size);
        let size = sample.size.unwrap_or([recipe.data.image_size; 2]);
        check_memory(sample, size, recipe.data.color.channels())?;
        for prior in &mut self.priors {
            context.autocast(self.kind, || prior.set_weight_dtype(sample.weight_dtype)).map_err(usage)?;
            prior.check_sampling(&sampling).map_err(usage)?;
        }
        (self.sampling, self.size) = (sampling, size);
        Ok(())
    }

    /// How tokens are sampled.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The tokenizer of the images.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The device of the priors.
    pub fn device(&self) -> Device {
        self.priors.first().map_or(Device::Cpu, |prior| prior.device())
    }

    /// Height and width in pixels of the images.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// Whether the priors have a null condition.
    pub fn has_null(&self) -> bool {
        self.priors.iter().all(|prior| prior.null(&Condition::none(), 1).is_ok())
    }

    /// Samples the tokens of every level, coarse first, each conditioned on the coarser ones and on the known tokens of
    /// its own; then decodes them. The images are the samples `first..first + batch`.
    ///
    /// # Errors
    /// When the condition or the known tokens do not fit the priors.
    pub fn generate(
        &self,
        condition: Condition,
        given: Option<&[KnownTokens]>,
        batch: usize,
        first: usize,
        context: &Context,
    ) -> Result<Generated> {
        let [height, width] = self.size;
        attempt(format!("{batch} images of {width} x {height} pixels at once"), || {
            self.generate_at_once(condition, given, batch, first, context)
        })
    }

    fn generate_at_once(
        &self,
        mut condition: Condition,
        given: Option<&[KnownTokens]>,
        batch: usize,
        first: usize,
        context: &Context,
    ) -> Result<Generated> {
        let stops = || context.interrupt.is_set();
        let mut tokens = Tokens::new();
        let mut log_likelihood = Tensor::zeros([batch as i64], (Kind::Double, context.device));
        for (level, prior) in self.priors.iter().enumerate() {
            let options = SampleOptions {
                first_sample: first as u64,
                sampling: self.sampling.clone().with_seed(seed_of_level(self.sampling.seed(), level)),
                known: given.map_or(&[], |given| &given[level..=level]),
                log_likelihood: true,
                is_stopped: &stops,
                ..SampleOptions::new(batch as i64)
            };
            let sampled = prior.generate(&condition, &options).map_err(usage)?;
            let Sampled { tokens: grids, log_likelihood: of_level } = sampled;
            if let Some(of_level) = of_level {
                log_likelihood += of_level;
            }
            condition = grids.iter().fold(condition, |condition, grid| condition.with_grid(grid.shallow_clone()));
            tokens.extend(grids);
        }
        let images = no_grad(|| context.autocast(self.kind, || self.tokenizer.decode(&tokens)))?;
        Ok(Generated { images, log_likelihood: Vec::try_from(log_likelihood)? })
    }
}

/// Separate random numbers for every level: with those of the level above, a code would depend on the one at the same
/// position there.
fn seed_of_level(seed: u64, level: usize) -> u64 {
    seed ^ (level as u64) << 56
}

/// The token grid `[H, W]` of images of this height and width in pixels; `None` for the size of training.
pub fn larger_grid(size: [u32; 2], recipe: &Recipe, tokenizer: &Tokenizer) -> Result<Option<[i64; 2]>> {
    let (trained, factor) = (recipe.data.image_size, tokenizer.downsampling());
    let asked = format!("{} x {} pixels", size[0], size[1]);
    let reason = if size == [trained; 2] {
        return Ok(None);
    } else if tokenizer.codebook_sizes().len() > 1 {
        "only runs whose tokenizer has one level generate images larger than in training".into()
    } else if size.iter().any(|side| *side < trained) {
        format!("must be at least the run's {trained} x {trained} pixels, got {asked}")
    } else if size.iter().any(|side| i64::from(*side) % factor != 0) {
        format!("must be multiples of the tokenizer's downsampling, {factor} pixels, got {asked}")
    } else {
        return Ok(Some(size.map(|side| i64::from(side) / factor)));
    };
    Err(wrong_option("size", &reason).into())
}

/// Least number of bytes per image that are kept until all are generated.
const OF_PICTURE: u64 = 1024;

/// Checks that there is memory for the records of this many images; an error says for how many there is.
///
/// # Errors
/// A message.
pub fn check_count(count: usize) -> Result<(), String> {
    let most = memory::available().map_or(u64::MAX, |bytes| bytes / OF_PICTURE);
    match count as u64 > most {
        true => Err(format!("the records of {count} images do not fit into memory; at most {most} do")),
        false => Ok(()),
    }
}

/// Checks that there is memory for the records of the images, and for the pixels of a batch: as the decoder's output,
/// clamped to the range, and in 8 bits.
fn check_memory(sample: &Sample, [height, width]: [u32; 2], channels: usize) -> Result<()> {
    check_count(sample.count).map_err(|reason| wrong_option("count", &reason))?;
    let of_one = u64::from(height).saturating_mul(width.into()).saturating_mul(8 * channels as u64 + 3).max(1);
    let Some(available) = memory::available() else { return Ok(()) };
    let (batch, most) = (sample.batch_size.min(sample.count) as u64, available / of_one);
    let of_one = memory::format_bytes(of_one);
    match most {
        0 => Err(wrong_option(
            "size",
            &format!("an image of {width} x {height} pixels takes {of_one} of memory, more than there is"),
        )
        .into()),
        most if batch > most => {
            let reason = format!("of {batch} images that take {of_one} each, at most {most} fit into memory at once");
            Err(wrong_option("batch_size", &reason).into())
        }
        _ => Ok(()),
    }
}

/// An error for options or conditions that the priors refuse.
fn usage(error: PriorError) -> SampleError {
    match error {
        PriorError::Config { field, reason } => wrong_option(field, &reason).into(),
        condition @ PriorError::Condition { .. } => InvalidRequest::key("condition", condition.to_string()).into(),
        PriorError::Stopped => RunError::Interrupted.into(),
        other => other.into(),
    }
}

/// An error for a value of `[sample]`, which `vqkit sample` takes as a flag.
pub fn wrong_option(key: &'static str, reason: &str) -> InvalidRequest {
    InvalidRequest::option(key, reason)
}
