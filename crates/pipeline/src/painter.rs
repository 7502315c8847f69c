//! From a condition to pictures: tokens level by level, then the decoder.

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_priors::{Condition, Given, Prior, PriorError, Sampled, Sampling, sample_scored};
use vqkit_torch::{Tokens, attempt, memory};
use vqkit_vqvae::Tokenizer;

use crate::{
    context::Context,
    domain::Domain,
    error::{PipelineError, Result},
    load,
    prior_spec::Facts,
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
    /// Height and width in pixels of what it paints.
    size: [u32; 2],
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
    pub fn new(run: &Run, recipe: &Recipe, sample: &Sample, facts: Facts, context: &Context) -> Result<Self> {
        let tokenizer = load::tokenizer(run, recipe, Domain::Images, context)?;
        let mut priors = load::priors(run, recipe, facts, context)?;
        if priors.is_empty() {
            let reason = "its recipe has no [[prior]], so there is nothing to sample";
            return Err(PipelineError::artifact(run.path(), reason));
        }
        let size = sample.size.map_or(Ok(None), |size| larger_grid(size, recipe, &tokenizer))?;
        let kind = context.kind(recipe.head.precision);
        let sampling = Sampling { size, ..sample.sampling.clone() };
        let size = sample.size.unwrap_or([recipe.data.image_size; 2]);
        check_memory(sample, size, recipe.data.color.channels())?;
        for prior in &mut priors {
            context.autocast(kind, || prior.set_sampling_weights(sample.weights)).map_err(usage)?;
            sampling.check(prior.as_ref()).map_err(usage)?;
        }
        Ok(Self { tokenizer, priors, sampling, kind, size })
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

    /// Height and width in pixels of what it paints.
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
    pub fn paint(
        &self,
        condition: Condition,
        given: Option<&[Given]>,
        batch: usize,
        first: usize,
        context: &Context,
    ) -> Result<Painted> {
        let [height, width] = self.size;
        attempt(format!("{batch} pictures of {width} x {height} pixels at once"), || {
            self.paint_at_once(condition, given, batch, first, context)
        })
    }

    fn paint_at_once(
        &self,
        mut condition: Condition,
        given: Option<&[Given]>,
        batch: usize,
        first: usize,
        context: &Context,
    ) -> Result<Painted> {
        let stops = || context.interrupt.is_set();
        let mut tokens = Tokens::new();
        let mut log_likelihood = Tensor::zeros([batch as i64], (Kind::Double, context.device));
        for (level, prior) in self.priors.iter().enumerate() {
            let sampling = Sampling { seed: seed_of_level(self.sampling.seed, level), ..self.sampling.clone() };
            let given = given.map(|given| &given[level]);
            let sampled =
                sample_scored(prior.as_ref(), &condition, batch as i64, &sampling, first as u64, given, &stops);
            let sampled = sampled.map_err(usage)?;
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
    } else if tokenizer.codebook_sizes().len() > 1 {
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
    check_count(sample.count).map_err(|reason| wrong_flag("count", &reason))?;
    let of_one = u64::from(height).saturating_mul(width.into()).saturating_mul(8 * channels as u64 + 3).max(1);
    let Some(available) = memory::available() else { return Ok(()) };
    let (batch, most) = (sample.batch_size.min(sample.count) as u64, available / of_one);
    let of_one = memory::format_bytes(of_one);
    match most {
        0 => Err(wrong_flag(
            "size",
            &format!("a picture of {width} x {height} pixels takes {of_one} of memory, more than there is"),
        )),
        most if batch > most => {
            let reason = format!("of {batch} pictures that take {of_one} each, at most {most} fit into memory at once");
            Err(wrong_flag("batch_size", &reason))
        }
        _ => Ok(()),
    }
}

/// What priors refuse of a call.
fn usage(error: PriorError) -> PipelineError {
    match error {
        PriorError::Config { field, reason } => wrong_flag(field, &reason),
        condition @ PriorError::Condition { .. } => PipelineError::Usage(condition.to_string()),
        PriorError::Stopped => PipelineError::Interrupted,
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
