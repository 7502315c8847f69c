//! Stage `report`: what tokenizer and priors are worth on held-out data.

use std::{collections::BTreeMap, f64::consts::LN_2, fmt};

use serde::Serialize;
use tch::no_grad;
use vqkit_data::Dataset;
use vqkit_metrics::{PixelError, residual_bits};
use vqkit_quantizer::Mode;

use crate::{
    batches,
    checked::{Checked, Checker},
    codebooks::Subject,
    context::Context,
    domain::Domain,
    encode::Split,
    error::{PipelineError, Result},
    files,
    level_usage::LevelUsage,
    load,
    pictures::Picture,
    prior_spec::Facts,
    recipe::Recipe,
    recognised::Recognised,
    reconstruction_error::ReconstructionError,
    report,
    run::{Output, Run},
    sample,
    samples_distance::SamplesDistance,
    train_prior, train_tokenizer,
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "report";

/// `metrics.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    /// How the figures were taken.
    pub protocol: Protocol,
    /// Mean squared error of a pixel's channel in units of 1/255, both sides rounded to 8 bits, over all images.
    pub reconstruction_mse: f64,
    /// PSNR of that error, in dB.
    pub reconstruction_psnr_db: f64,
    /// Fréchet distance of the features of a small classifier of CIFAR-10 (`assets/judge-cifar10.safetensors`), images against
    /// reconstructions; never to be compared with a FID. Of colour images only.
    pub reconstruction_fd_vgg_cifar10: Option<f64>,
    /// Samples of the run that the judge takes for the class for which they were drawn; where it knows their classes.
    pub samples_recognised: Option<Recognised>,
    /// Fréchet distance of the judge's features, samples of the run against held-out images, with their counts; of colour
    /// images of the trained size, from 1,000 of either on.
    pub samples_fd_vgg_cifar10: Option<SamplesDistance>,
    /// What the checker of the built-in shapes finds in reconstructions, where these are the run's data: the most that samples can reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstructions_checked: Option<Checked>,
    /// What the checker of the built-in shapes found in the samples of the run, where these are its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_checked: Option<Checked>,
    /// The tokenizer of the templates, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateMetrics>,
    /// Every level of tokens, coarse first.
    pub levels: Vec<LevelMetrics>,
    /// What the image takes per dimension, part by part.
    pub rate: Rate,
}

/// Bits per dimension of a lossless code that is built of the tokens and of what their reconstruction misses, both rounded to 8 bits.
///
/// An estimate: no coder was run. The tokens take what the priors say; the differences take what an ideal code of
/// [`residual_bits`] does, one discretised Gaussian for all pixels and channels, with the mean squared
/// error that was measured. It is no bound that was measured directly, and no likelihood of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Of the tokens of all levels; where all have a trained prior.
    pub prior_bits_per_dim: Option<f64>,
    /// Of the differences: the tokenizer's share.
    pub residual_bits_per_dim: f64,
    /// Of both.
    pub total_bits_per_dim: Option<f64>,
}

impl Rate {
    fn of(levels: &[LevelMetrics], mse: f64) -> Self {
        let prior_bits_per_dim: Option<f64> = levels.iter().map(|level| level.prior_bits_per_dim).sum();
        let residual_bits_per_dim = residual_bits(mse);
        let total_bits_per_dim = prior_bits_per_dim.map(|prior| prior + residual_bits_per_dim);
        Self { prior_bits_per_dim, residual_bits_per_dim, total_bits_per_dim }
    }
}

/// How the figures were taken.
#[derive(Debug, Clone, Serialize)]
pub struct Protocol {
    /// Held-out images, all of which were used.
    pub held_out_images: usize,
    /// Fingerprint of the held-out data.
    pub data: String,
    /// Width and height of the images.
    pub image_size: u32,
    /// Filter of the resize.
    pub resize: vqkit_data::Filter,
    /// Arithmetic: `fp32` or `bf16`.
    pub precision: String,
    /// Where it was computed.
    pub device: String,
    /// Fingerprint of the tokenizer's weights.
    pub tokenizer: String,
}

/// How well held-out templates are reconstructed: by name, as the log has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TemplateMetrics(BTreeMap<String, f64>);

impl TemplateMetrics {
    fn of(run: &Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Self> {
        let Reconstructed { error, .. } = reconstruction(run, recipe, Domain::Templates, data, context)?;
        Ok(Self(error.figures().into_iter().collect()))
    }

    /// The figures by name.
    pub fn figures(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, figure)| (name.as_str(), *figure))
    }
}

/// The figures of one level.
#[derive(Debug, Clone, Serialize)]
pub struct LevelMetrics {
    /// Positions of its grid.
    pub positions: i64,
    /// Codebooks, each of which gives a position a code.
    pub codebooks: i64,
    /// Codes of its codebook (the first, where a position has several).
    pub codes: i64,
    /// Share of codes used on held-out images, mean over the codebooks.
    pub usage: f64,
    /// Perplexity of the codes on held-out images, mean over the codebooks.
    pub perplexity: f64,
    /// Bits of a token under the best prior that ignores its neighbours.
    pub unigram_bits_per_token: f64,
    /// Nats of a token under the trained prior.
    pub prior_nats_per_token: Option<f64>,
    /// Bits of a token under the trained prior.
    pub prior_bits_per_token: Option<f64>,
    /// The bits of the level's tokens under the trained prior, spread over the `C · H · W` numbers of an image.
    pub prior_bits_per_dim: Option<f64>,
}

/// Measures a run and writes `metrics.json` and `report.html`.
///
/// # Errors
/// When the run is not trained, nothing is held out, or files cannot be read or written.
pub fn run_stage(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(STAGE)?;
    refresh(run, recipe, data, context)?;
    let path = run.folder(STAGE).join("metrics.json");
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
    Ok(Output { path: STAGE.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Measures a run and writes its `report/` anew.
///
/// # Errors
/// As [`run_stage`].
pub fn refresh(run: &Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Metrics> {
    let (metrics, reconstructions) = measure(run, recipe, data, context)?;
    let codebooks = Subject::of_run(run, context)?.map_or(Ok(Vec::new()), |subject| subject.pictures())?;
    let page = report::html(run, recipe, &metrics, &reconstructions, &codebooks)?;
    files::create_folder(&run.folder(STAGE), |folder| {
        files::write_json(&folder.join("metrics.json"), &metrics)?;
        files::write(&folder.join("report.html"), page.as_bytes())
    })?;
    Ok(metrics)
}

/// The figures of a run, and originals above their reconstructions.
///
/// # Errors
/// As [`run_stage`].
pub fn measure(run: &Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<(Metrics, Picture)> {
    // First, since it needs the priors, and what is missing should not be found out at the end.
    let levels = levels(run, recipe, context)?;
    let Reconstructed { error, picture, checked } = reconstruction(run, recipe, Domain::Images, data, context)?;
    let mse = error.pixels().map_or(f64::NAN, PixelError::mse);
    let drawn = sample::drawn(run)?;
    let of_trained_size = recipe.sample.size.is_none_or(|size| size == [recipe.data.image_size; 2]);
    let samples_distance = match error.judged_images().filter(|_| of_trained_size) {
        Some(images) => SamplesDistance::of(&drawn, images, context.device)?,
        None => None,
    };
    let protocol = Protocol {
        held_out_images: data.held_out.len(),
        data: data.held_out.fingerprint(),
        image_size: recipe.data.image_size,
        resize: recipe.data.resize,
        precision: run.record().call.precision.clone(),
        device: run.record().call.device.clone(),
        tokenizer: run.require(Domain::Images.stage())?.fingerprint.clone(),
    };
    let metrics = Metrics {
        protocol,
        reconstruction_mse: mse,
        reconstruction_psnr_db: error.fidelity(),
        reconstruction_fd_vgg_cifar10: error.fd_vgg_cifar10(),
        samples_recognised: Recognised::of(&drawn, context.device)?,
        samples_fd_vgg_cifar10: samples_distance,
        reconstructions_checked: checked,
        samples_checked: sample::checked(run)?,
        template: recipe.template.as_ref().map(|_| TemplateMetrics::of(run, recipe, data, context)).transpose()?,
        rate: Rate::of(&levels, mse),
        levels,
    };
    Ok((metrics, picture))
}

/// The figures of every level, coarse first.
fn levels(run: &Run, recipe: &Recipe, context: &Context) -> Result<Vec<LevelMetrics>> {
    let tokens = train_prior::read_tokens(run, Split::HeldOut)?;
    let usage = LevelUsage::of(&tokens)?;
    let priors = load::priors(run, recipe, Facts::of_header(&tokens.header), context)?;
    let mut levels = Vec::new();
    for (level, usage) in usage.levels().iter().enumerate() {
        let bits = match priors.get(level) {
            None => None,
            Some(prior) => {
                let prior = prior.as_ref();
                Some(train_prior::bits_per_token(prior, recipe, level, &tokens, tokens.len(), context)?)
            }
        };
        let shape = &tokens.shapes()[level];
        levels.push(LevelMetrics {
            positions: shape[1..].iter().product(),
            codebooks: shape[0],
            codes: tokens.header.sizes[level][0],
            usage: usage.usage(),
            perplexity: usage.perplexity(),
            unigram_bits_per_token: usage.entropy() / LN_2,
            prior_nats_per_token: bits.map(|bits| bits * LN_2),
            prior_bits_per_token: bits,
            prior_bits_per_dim: bits.map(|bits| train_prior::bits_per_dim(bits, shape, recipe)),
        });
    }
    Ok(levels)
}

/// What became of held-out pictures.
struct Reconstructed {
    error: ReconstructionError,
    /// Some of them, above their reconstructions.
    picture: Picture,
    checked: Option<Checked>,
}

fn reconstruction(
    run: &Run,
    recipe: &Recipe,
    domain: Domain,
    data: &Dataset,
    context: &Context,
) -> Result<Reconstructed> {
    let tokenizer = load::tokenizer(run, recipe, domain, context)?;
    let (kind, shape) = (context.kind(recipe.head.precision), domain.shape(&recipe.data));
    let mut error = ReconstructionError::new(shape, context.device)?;
    let mut picture = None;
    let mut checker = Checker::of(recipe).filter(|_| domain == Domain::Images);
    for batch in batches::held_out(recipe, data, data.held_out.len())? {
        let batch = batch?;
        let images = domain.of_batch(&batch, context)?;
        let output = no_grad(|| context.autocast(kind, || tokenizer.forward(&images, Mode::Eval)))?;
        error.add(&output.images, &images)?;
        picture.get_or_insert_with(|| train_tokenizer::beside(shape, &images, &output.images));
        if let Some(checker) = &mut checker {
            checker.add_batch(&shape.pictures(&output.images), &batch, data.held_out.class_names())?;
        }
    }
    let picture = picture.ok_or_else(|| PipelineError::Usage("nothing is held out".into()))?;
    Ok(Reconstructed { error, picture, checked: checker.and_then(Checker::finish) })
}

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (images, mse, psnr_db) =
            (self.protocol.held_out_images, self.reconstruction_mse, self.reconstruction_psnr_db);
        writeln!(out, "{images} held-out images: mean squared error {mse:.2}, PSNR {psnr_db:.2} dB")?;
        if let Some(distance) = self.reconstruction_fd_vgg_cifar10 {
            writeln!(out, "Fréchet distance of the judge's features (fd_vgg_cifar10) {distance:.4}")?;
        }
        if let Some(recognised) = self.samples_recognised {
            let (Recognised { samples, right }, percent) = (recognised, recognised.percent());
            writeln!(
                out,
                "the judge takes {right} of {samples} samples ({percent:.0} %) for the class they were drawn for"
            )?;
        }
        if let Some(SamplesDistance { samples, held_out_images, distance }) = self.samples_fd_vgg_cifar10 {
            write!(
                out,
                "Fréchet distance of the judge's features, {samples} samples against {held_out_images} held-out images "
            )?;
            writeln!(out, "(samples_fd_vgg_cifar10) {distance:.4}")?;
        }
        for (what, checked) in [("reconstructions", self.reconstructions_checked), ("samples", self.samples_checked)] {
            if let Some(checked) = checked {
                write!(out, "{what} by the checker:\n{checked}")?;
            }
        }
        for (name, figure) in self.template.iter().flat_map(TemplateMetrics::figures) {
            writeln!(out, "template: {} {figure:.4}", name.replace('_', " "))?;
        }
        for (index, level) in self.levels.iter().enumerate() {
            let (positions, codes, usage) = (level.positions, level.codes, level.usage * 100.0);
            write!(out, "level {index}: {positions} tokens of {codes} codes, {usage:.1} % in use, ")?;
            write!(
                out,
                "perplexity {:.1}, unigram {:.3} bits per token",
                level.perplexity, level.unigram_bits_per_token
            )?;
            if let (Some(token), Some(dim)) = (level.prior_bits_per_token, level.prior_bits_per_dim) {
                write!(out, ", prior {token:.3} bits per token ({dim:.4} bits per dim)")?;
            }
            writeln!(out)?;
        }
        let Rate { prior_bits_per_dim, residual_bits_per_dim: residual, total_bits_per_dim } = self.rate;
        if let (Some(tokens), Some(total)) = (prior_bits_per_dim, total_bits_per_dim) {
            writeln!(
                out,
                "bits per dim, estimated: tokens {tokens:.4} + what the reconstruction misses {residual:.4} = {total:.4}"
            )?;
        }
        Ok(())
    }
}
