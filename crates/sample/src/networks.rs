//! From a condition to pictures: tokens level by level, then the decoder.

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_models::{ConditionVocabulary, load};
use vqkit_priors::{Condition, KnownTokens, Prior, PriorError, SampleOptions, Sampled, Sampling};
use vqkit_recipe::{InvalidRequest, Modality, Recipe, Sample};
use vqkit_run::{Context, Run, RunError};
use vqkit_torch::{Tokens, attempt, memory};
use vqkit_vqvae::Tokenizer;

use crate::{error::Result, error::SampleError};

/// The networks of a run that turn conditions into images, and how they are told to draw.
#[derive(Debug)]
pub struct Networks {
    tokenizer: Tokenizer,
    priors: Vec<Box<dyn Prior>>,
    sampling: Sampling,
    kind: Kind,
    /// Height and width in pixels of the images.
    size: [u32; 2],
}

/// A batch of pictures.
#[derive(Debug)]
pub struct Generated {
    /// `[B, C, H, W]`, not clamped to `[-1, 1]`.
    pub images: Tensor,
    /// Of each picture's tokens under the priors, in nats, all levels together.
    pub log_likelihood: Vec<f64>,
}

impl Networks {
    /// Loads those of a run, which draw as its recipe's `[sample]` says.
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

    /// Draws as `sample` says from now on.
    ///
    /// # Errors
    /// When the priors cannot draw so, or there is not enough memory.
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

    /// How tokens are drawn.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The tokenizer of the images.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Where the priors lie.
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

    /// Tokens of every level, coarse first, each level's prior told the coarser ones and what is given of its own; then the decoder. The
    /// pictures are the samples `first..first + batch`.
    ///
    /// # Errors
    /// When the condition or what is given does not fit the priors.
    pub fn generate(
        &self,
        condition: Condition,
        given: Option<&[KnownTokens]>,
        batch: usize,
        first: usize,
        context: &Context,
    ) -> Result<Generated> {
        let [height, width] = self.size;
        attempt(format!("{batch} pictures of {width} x {height} pixels at once"), || {
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
    } else if tokenizer.codebook_sizes().len() > 1 {
        "only runs whose tokenizer has one level draw pictures larger than those they were trained on".into()
    } else if size.iter().any(|side| *side < trained) {
        format!("must be at least the run's {trained} x {trained} pixels, got {asked}")
    } else if size.iter().any(|side| i64::from(*side) % factor != 0) {
        format!("must be multiples of the tokenizer's downsampling, {factor} pixels, got {asked}")
    } else {
        return Ok(Some(size.map(|side| i64::from(side) / factor)));
    };
    Err(wrong_option("size", &reason).into())
}

/// Bytes of what is known of a picture until all are drawn, at least.
const OF_PICTURE: u64 = 1024;

/// Whether there is memory for what is known of so many pictures; else how many there is memory for.
///
/// # Errors
/// In words.
pub fn check_count(count: usize) -> Result<(), String> {
    let most = memory::available().map_or(u64::MAX, |bytes| bytes / OF_PICTURE);
    match count as u64 > most {
        true => {
            Err(format!("{count} pictures do not fit into memory, with all that is known of them; at most {most} do"))
        }
        false => Ok(()),
    }
}

/// Whether there is memory for all that is known of the pictures, and for the pixels of a batch of them: as numbers of the decoder,
/// as numbers in range, and in 8 bits.
fn check_memory(sample: &Sample, [height, width]: [u32; 2], channels: usize) -> Result<()> {
    check_count(sample.count).map_err(|reason| wrong_option("count", &reason))?;
    let of_one = u64::from(height).saturating_mul(width.into()).saturating_mul(8 * channels as u64 + 3).max(1);
    let Some(available) = memory::available() else { return Ok(()) };
    let (batch, most) = (sample.batch_size.min(sample.count) as u64, available / of_one);
    let of_one = memory::format_bytes(of_one);
    match most {
        0 => Err(wrong_option(
            "size",
            &format!("a picture of {width} x {height} pixels takes {of_one} of memory, more than there is"),
        )
        .into()),
        most if batch > most => {
            let reason = format!("of {batch} pictures that take {of_one} each, at most {most} fit into memory at once");
            Err(wrong_option("batch_size", &reason).into())
        }
        _ => Ok(()),
    }
}

/// What priors refuse of a call.
fn usage(error: PriorError) -> SampleError {
    match error {
        PriorError::Config { field, reason } => wrong_option(field, &reason).into(),
        condition @ PriorError::Condition { .. } => InvalidRequest::key("condition", condition.to_string()).into(),
        PriorError::Stopped => RunError::Interrupted.into(),
        other => other.into(),
    }
}

/// A value of `[sample]`, which `vqkit sample` takes as a flag, that is not possible.
pub fn wrong_option(key: &'static str, reason: &str) -> InvalidRequest {
    InvalidRequest::option(key, reason)
}
