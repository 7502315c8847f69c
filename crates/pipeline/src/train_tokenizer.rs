//! Stage `tokenizer`: encoder, codebook and decoder are trained together on images.

use tch::{Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::{Batch, Dataset};
use vqkit_metrics::PixelError;
use vqkit_quantizer::Mode;
use vqkit_vqvae::{Reconstruction, Tokenizer};

use crate::{
    batches,
    context::Context,
    error::Result,
    level_usage::LevelUsage,
    pictures::Picture,
    recipe::{self, Recipe},
    run::{Output, Run},
    trainer::{self, Better, Trainer},
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "tokenizer";

/// Originals above reconstructions in the logged picture.
const SHOWN: usize = 8;

/// Share of used codes under which an epoch is called a collapse.
const COLLAPSED: f64 = 0.1;

/// Builds the tokenizer of a recipe with random weights.
///
/// # Errors
/// When its configuration cannot be built, or the images' size does not fit its downsampling.
pub fn build(recipe: &Recipe, context: &Context) -> Result<(VarStore, Tokenizer)> {
    let vs = VarStore::new(context.device);
    let channels = recipe.data.color.channels() as i64;
    let config = recipe.tokenizer()?;
    let tokenizer = config.network.build(&vs.root(), channels, &config.quantizer)?;
    tokenizer.grid_shapes(recipe.data.image_size.into())?;
    Ok((vs, tokenizer))
}

/// Trains the tokenizer of `recipe`, or goes on where the run's last checkpoint stands.
///
/// # Errors
/// When data or files cannot be read or written, the loss is not finite, or the user leaves.
pub fn train(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    tch::manual_seed(recipe.head.seed as i64);
    let (vs, mut tokenizer) = build(recipe, context)?;
    let config = recipe.tokenizer()?;
    let mut trainer = Trainer::begin(run, STAGE, &config.train, vs, context)?;
    let mut loader = batches::training(recipe, data, config.train.batch_size, trainer.samples())?;
    let mut usage = LevelUsage::restore(&tokenizer.sizes(), context.device, trainer.counters());
    let kind = context.kind(recipe.head.precision);

    while !trainer.is_done() {
        let batch = batches::next(&mut loader)?;
        let images = context.images(&batch)?;
        if trainer.is_fresh() {
            no_grad(|| tokenizer.initialize(&images))?;
        }
        let mode = Mode::Train { step: trainer.step() };
        let output = context.autocast(kind, || tokenizer.forward(&images, mode))?;
        let losses = Losses::new(config, &output, &images);
        trainer.descend(&losses.total, batch.position, &losses.named())?;
        no_grad(|| tokenizer.update(&output))?;
        trainer.average()?;
        usage.add(output.levels.iter().map(|level| &level.grid))?;

        if trainer.logs_now() {
            log(&mut trainer, &losses, &usage)?;
        }
        if epoch_ends(&batch, data) {
            warn_of_collapse(&trainer, &usage);
            usage.reset();
        }
        trainer.set_counters(usage.save());
        let figure = match trainer.evaluates_now() {
            true => Some((measure(&mut trainer, &tokenizer, recipe, data, context)?, Better::Higher)),
            false => None,
        };
        trainer.end_step(figure)?;
    }
    batches::report_bad(run, STAGE, &loader)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: trainer::fingerprint(&checkpoint)? })
}

/// The terms of one step's loss; each a scalar.
struct Losses {
    reconstruction: Tensor,
    codebook: Tensor,
    commitment: Tensor,
    total: Tensor,
}

impl Losses {
    /// `||x - D(z_q)||²` and, summed over the levels, what the quantizers ask for.
    fn new(config: &recipe::Tokenizer, output: &Reconstruction, images: &Tensor) -> Self {
        let reconstruction = config.loss.reconstruction.loss(&output.images, images);
        let sum = |term: fn(&vqkit_quantizer::QuantizerLosses) -> &Tensor| {
            output
                .levels
                .iter()
                .map(|level| term(&level.losses))
                .fold(reconstruction.zeros_like(), |sum, term| sum + term)
        };
        let total = &reconstruction + sum(|losses| &losses.total);
        Self {
            codebook: sum(|losses| &losses.codebook),
            commitment: sum(|losses| &losses.commitment),
            reconstruction,
            total,
        }
    }

    fn named(&self) -> [(&'static str, &Tensor); 3] {
        [("reconstruction", &self.reconstruction), ("codebook", &self.codebook), ("commitment", &self.commitment)]
    }
}

fn log(trainer: &mut Trainer, losses: &Losses, usage: &LevelUsage) -> Result<()> {
    let terms = [("loss", &losses.total)].into_iter().chain(losses.named());
    let mut figures: Vec<(String, f64)> = terms.map(|(name, term)| (name.into(), term.double_value(&[]))).collect();
    for (level, usage) in usage.levels().iter().enumerate() {
        figures.push((format!("usage_{level}"), usage.usage()));
        figures.push((format!("perplexity_{level}"), usage.perplexity()));
    }
    let shown = format!("loss {:.4}  codes in use {:.0} %", figures[0].1, usage.levels()[0].usage() * 100.0);
    trainer.log(figures, &shown)
}

/// PSNR on held-out images, with the averaged weights; logs it and a picture.
fn measure(
    trainer: &mut Trainer,
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    data: &Dataset,
    context: &Context,
) -> Result<f64> {
    let wanted = recipe.tokenizer()?.train.evaluate_samples;
    let (psnr_db, picture) = trainer.with_average(|| {
        let mut error = PixelError::default();
        let mut picture = None;
        for batch in batches::held_out(recipe, data, wanted)? {
            let images = context.images(&batch?)?;
            let reconstructions = no_grad(|| tokenizer.forward(&images, Mode::Eval))?.images;
            error.add(&reconstructions, &images);
            picture.get_or_insert_with(|| beside(&images, &reconstructions));
        }
        Ok((error.psnr_db(), picture))
    })?;
    trainer.log(vec![("held_out_psnr_db".into(), psnr_db)], &format!("held-out PSNR {psnr_db:.2} dB"))?;
    if let Some(picture) = picture {
        trainer.log_picture("reconstructions", &picture)?;
    }
    Ok(psnr_db)
}

/// A row of originals above the row of their reconstructions.
pub fn beside(images: &Tensor, reconstructions: &Tensor) -> Picture {
    let shown = SHOWN.min(images.size()[0] as usize);
    let row = |tensor: &Tensor| Picture::from_batch(&tensor.narrow(0, 0, shown as i64).to_kind(Kind::Float));
    Picture::grid(&[row(images), row(reconstructions)].concat(), shown)
}

fn epoch_ends(batch: &Batch, data: &Dataset) -> bool {
    let samples = data.train.len() as u64;
    batch.position / samples != (batch.position - batch.keys.len() as u64) / samples
}

fn warn_of_collapse(trainer: &Trainer, usage: &LevelUsage) {
    for (level, usage) in usage.levels().iter().enumerate() {
        if usage.usage() < COLLAPSED {
            trainer.note(&format!(
                "warning: codebook {level} collapses: {:.1} % of its codes were used in the last epoch. Turn k-means \
                 initialisation and revival on, use fewer codes, or lower the learning rate",
                usage.usage() * 100.0
            ));
        }
    }
}
