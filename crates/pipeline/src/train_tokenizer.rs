//! Stage `tokenizer`: encoder, codebook and decoder are trained together on images, perhaps against a discriminator.

use tch::{Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::{Batch, Dataset};
use vqkit_losses::{Adversary, Objective};
use vqkit_quantizer::Mode;
use vqkit_vqvae::Tokenizer;

use crate::{
    batches,
    codebook_watch::Codebooks,
    context::Context,
    error::{PipelineError, Result},
    finetune,
    level_usage::LevelUsage,
    perceptual,
    pictures::Picture,
    player::Player,
    recipe::{self, FinetunedPart, Recipe},
    reconstruction_error::ReconstructionError,
    run::{Output, Run},
    taken,
    tokenizer_step::{Step, Taken},
    trainer::{self, Better, Trainer},
    watch::Watch,
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "tokenizer";

/// Originals above reconstructions in the logged picture.
const SHOWN: usize = 8;

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
    if tokenizer.out_channels() != channels {
        let message = format!("tokenizer.out_ch is {}, the images have {channels} channels", tokenizer.out_channels());
        return Err(PipelineError::Usage(message));
    }
    Ok((vs, tokenizer))
}

/// Builds the discriminator of a recipe with random weights, where it has one.
///
/// # Errors
/// When its configuration cannot be built.
pub fn build_adversary(recipe: &Recipe, context: &Context) -> Result<Option<(VarStore, Adversary)>> {
    let Some(config) = &recipe.tokenizer()?.loss.adversarial else { return Ok(None) };
    let vs = VarStore::new(context.device);
    let adversary = Adversary::new(&vs.root(), recipe.data.color.channels() as i64, &config.game)?;
    Ok(Some((vs, adversary)))
}

/// Trains the tokenizer of `recipe`, or goes on where the run's last checkpoint stands; or copies another run's, where the
/// recipe takes one.
///
/// # Errors
/// When data or files cannot be read or written, the loss is not finite, or the user leaves.
pub fn train(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    let config = recipe.tokenizer()?;
    if let Some(taken) = &config.taken {
        return taken::copy(run, taken);
    }
    tch::manual_seed(recipe.head.seed as i64);
    let kind = context.kind(recipe.head.precision);
    let objective = objective(recipe, kind, run, context)?;
    let (mut tokenizer, mut adversary, mut trainer) = begin(run, recipe, context)?;
    let mut loader = batches::training(recipe, data, config.train.batch_size, trainer.samples())?;
    let mut usage = LevelUsage::restore(&tokenizer.sizes(), context.device, trainer.counters());
    let mut watch = Watch::restore(context.device, trainer.counters());
    let decoder_alone = config.finetune.as_ref().is_some_and(|finetune| finetune.train == FinetunedPart::Decoder);
    let step = Step { kind, objective: &objective, decoder_alone, micro_batches: config.train.micro_batches };

    while !trainer.is_done() {
        let batch = batches::next(&mut loader)?;
        let images = context.images(&batch)?;
        if trainer.is_fresh() && config.finetune.is_none() {
            no_grad(|| tokenizer.initialize(&images))?;
        }
        let now = trainer.step();
        let (network, opponent) = trainer.players();
        let taken = step.take((&tokenizer, network), adversary.as_ref().zip(opponent), &images, now)?;
        trainer.check_terms(&taken.terms.parts())?;
        trainer.step_weights(batch.position, taken.logits.is_some())?;
        if !decoder_alone {
            no_grad(|| tokenizer.update(&taken.reconstruction))?;
        }
        if let (Some(adversary), Some((real, fake))) = (&mut adversary, &taken.logits) {
            adversary.update(real, fake);
            watch.add(real, fake);
        }
        trainer.average()?;
        usage.add(taken.reconstruction.levels.iter().map(|level| &level.grid))?;

        if trainer.logs_now() {
            log(&mut trainer, &taken, &usage, &watch)?;
        }
        let codebooks = Codebooks { config, tokenizer: &tokenizer, latents: &taken.reconstruction.latents };
        let mut figure = None;
        if trainer.evaluates_now() {
            watch.warning().iter().for_each(|warning| trainer.note(&format!("warning: {warning}")));
            let held_out = measure(&mut trainer, &tokenizer, recipe, data, context)?;
            codebooks.warn(&trainer, &usage, &held_out.usage)?;
            figure = judged_by_pixels(config).then_some((held_out.psnr_db, Better::Higher));
        }
        if epoch_ends(&batch, data) {
            codebooks.warn(&trainer, &usage, &usage)?;
            codebooks.log_epoch(&mut trainer, &usage)?;
            usage.reset();
        }
        trainer.set_counters(usage.save().into_iter().chain(watch.save()).collect());
        trainer.end_step(figure)?;
    }
    batches::report_bad(run, STAGE, &loader)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: trainer::fingerprint(&checkpoint)? })
}

/// The networks of both players, new, from another's weights or from the run's last checkpoint.
fn begin(run: &mut Run, recipe: &Recipe, context: &Context) -> Result<(Tokenizer, Option<Adversary>, Trainer)> {
    let config = recipe.tokenizer()?;
    let (mut vs, tokenizer) = build(recipe, context)?;
    let (mut opponent_vs, adversary) = build_adversary(recipe, context)?.unzip();
    if let Some(finetune) = &config.finetune {
        if trainer::is_new(run, STAGE, &config.train)? {
            finetune::begin(finetune, &mut vs, opponent_vs.as_mut())?;
        }
        finetune::freeze(finetune, &vs, tokenizer.decoder_parts());
    }
    let network = Player::new(vs, &config.train)?;
    let opponent = match (opponent_vs, &config.loss.adversarial) {
        (Some(vs), Some(adversarial)) => Some(Player::new(vs, &adversarial.train.beside(&config.train))?),
        _ => None,
    };
    let trainer = Trainer::begin(run, STAGE, &config.train, network, opponent, context)?;
    Ok((tokenizer, adversary, trainer))
}

fn objective(recipe: &Recipe, kind: Kind, run: &Run, context: &Context) -> Result<Objective> {
    let recipe::Loss { pixels, perceptual, .. } = &recipe.tokenizer()?.loss;
    let network = match perceptual {
        None => None,
        Some(perceptual) => perceptual::load(perceptual, run, context)?.map(|network| (perceptual.weight(), network)),
    };
    Ok(Objective {
        reconstruction: pixels.reconstruction,
        reconstruction_weight: pixels.reconstruction_weight,
        perceptual: network,
        kind,
    })
}

/// Whether PSNR tells which checkpoint is best; where other losses pull too, the last one is.
fn judged_by_pixels(config: &recipe::Tokenizer) -> bool {
    config.loss.perceptual.is_none() && config.loss.adversarial.is_none()
}

fn log(trainer: &mut Trainer, taken: &Taken, usage: &LevelUsage, watch: &Watch) -> Result<()> {
    let mut figures = taken.terms.figures();
    let mut shown = format!("{} {:.4}", figures[0].0, figures[0].1);
    for (level, usage) in usage.levels().iter().enumerate() {
        figures.push((format!("usage_{level}"), usage.usage()));
        figures.push((format!("perplexity_{level}"), usage.perplexity()));
    }
    shown += &format!("  codes in use {:.0} %", usage.levels()[0].usage() * 100.0);
    if taken.logits.is_some() {
        let (real, fake) = watch.accuracies();
        figures.extend([("real_accuracy".into(), real), ("fake_accuracy".into(), fake)]);
        shown += &format!("  discriminator right on {:.0} / {:.0} %", real * 100.0, fake * 100.0);
    }
    trainer.log(figures, &shown)
}

/// What held-out images say of a tokenizer.
struct HeldOut {
    psnr_db: f64,
    usage: LevelUsage,
}

/// Looks at held-out images, with the averaged weights; logs PSNR, the use of codes, the distance of the judge's features and a
/// picture.
fn measure(
    trainer: &mut Trainer,
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    data: &Dataset,
    context: &Context,
) -> Result<HeldOut> {
    let wanted = recipe.tokenizer()?.train.evaluate_samples;
    let mut usage = LevelUsage::new(&tokenizer.sizes(), context.device);
    let (error, picture) = trainer.with_average(|| {
        let mut error = ReconstructionError::new(&recipe.data, context.device)?;
        let mut picture = None;
        for batch in batches::held_out(recipe, data, wanted)? {
            let images = context.images(&batch?)?;
            let made = no_grad(|| tokenizer.forward(&images, Mode::Eval))?;
            error.add(&made.images, &images)?;
            usage.add(made.levels.iter().map(|level| &level.grid))?;
            picture.get_or_insert_with(|| beside(&images, &made.images));
        }
        Ok((error, picture))
    })?;
    let psnr_db = error.pixels.psnr_db();
    let mut figures = vec![("held_out_psnr_db".into(), psnr_db)];
    figures.extend(error.fd_vgg_cifar10().map(|distance| ("held_out_fd_vgg_cifar10".into(), distance)));
    figures
        .extend(usage.levels().iter().enumerate().map(|(level, of)| (format!("held_out_usage_{level}"), of.usage())));
    trainer.log(figures, &format!("held-out PSNR {psnr_db:.2} dB"))?;
    if let Some(picture) = picture {
        trainer.log_picture("reconstructions", &picture)?;
    }
    Ok(HeldOut { psnr_db, usage })
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
