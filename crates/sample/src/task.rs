//! A request that is being carried out.

use tch::Kind;
use vqkit_priors::KnownTokens;
use vqkit_recipe::{Modality, Sample, stage_names};
use vqkit_run::RgbImage;
use vqkit_torch::threads;

use crate::{
    error::{Result, SampleError},
    generated_image::GeneratedImage,
    inpaint::KeptTokens,
    networks::{Generated, Networks},
    prompt::{Prompt, ResolvedPrompt},
    record::{Record, SampleRecord},
    request::Request,
    resolve::PromptResolver,
    shape_check::ShapeAccuracy,
};

/// A request that is being carried out: everything in it was checked.
pub(crate) struct Task<'t> {
    pub(crate) networks: &'t Networks,
    pub(crate) prompter: &'t PromptResolver,
    pub(crate) seen: Vec<ResolvedPrompt>,
    pub(crate) samples_per_condition: usize,
    pub(crate) kept: Option<KeptTokens>,
    pub(crate) request: &'t Request,
}

impl Task<'_> {
    /// The prompt of an image.
    pub(crate) fn seen(&self, index: usize) -> &ResolvedPrompt {
        &self.seen[index / self.samples_per_condition % self.seen.len()]
    }

    /// Generates the images, in order, and passes each to `take`.
    pub(crate) fn draw(&self, mut take: impl FnMut(GeneratedImage) -> Result<()>) -> Result<()> {
        let Sample { count, batch_size, .. } = self.request.sample;
        let context = &self.prompter.context;
        let progress = context.progress(stage_names::SAMPLES, "images", count as u64);
        for first in (0..count).step_by(batch_size) {
            context.interrupt.check()?;
            let batch = batch_size.min(count - first);
            let Generated { images, log_likelihood } = self.generate(first, batch)?;
            for ((index, picture), log_likelihood) in (first..).zip(RgbImage::from_batch(&images)).zip(log_likelihood) {
                let prompt = self.seen(index).prompt.clone();
                take(GeneratedImage { picture, prompt, sample: index as u64, log_likelihood })?;
            }
            progress.advance(batch as u64);
        }
        progress.finish(&format!("{count} images"));
        Ok(())
    }

    /// Everything that the images depend on, besides the run.
    pub(crate) fn record(&self, samples: Vec<SampleRecord>, shape_accuracy: Option<ShapeAccuracy>) -> Result<Record> {
        let PromptResolver { run, recipe, context, .. } = self.prompter;
        let fingerprint = |stage: &str| Ok::<_, SampleError>(run.require(stage)?.fingerprint.clone());
        let Sample { weight_dtype, count, batch_size, size, .. } = self.request.sample;
        Ok(Record {
            sampling: self.networks.sampling().clone(),
            weight_dtype,
            count,
            batch_size,
            samples_per_condition: self.samples_per_condition,
            size: size.unwrap_or([recipe.data.image_size; 2]),
            precision: if context.kind(recipe.head.precision) == Kind::Float { "fp32" } else { "bf16" }.into(),
            device: vqkit_torch::device::name(context.device),
            threads: threads::count(),
            tokenizer: fingerprint(Modality::Image.stage())?,
            priors: stage_names::stages(recipe).iter().map(|stage| fingerprint(stage)).collect::<Result<_>>()?,
            kept: self.kept.clone(),
            shape_accuracy,
            samples,
        })
    }

    /// The images `first..first + batch`.
    fn generate(&self, first: usize, batch: usize) -> Result<Generated> {
        let prompts: Vec<Prompt> = (first..first + batch).map(|index| self.seen(index).prompt.clone()).collect();
        let condition = self.prompter.condition(&prompts, self.networks)?;
        let given: Option<Vec<KnownTokens>> =
            self.kept.as_ref().map(|kept| kept.given(batch, self.networks)).transpose()?;
        self.networks.generate(condition, given.as_deref(), batch, first, &self.prompter.context)
    }
}
