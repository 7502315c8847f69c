//! Stages `tokenizer` and `template`: encoder, codebook and decoder are trained together on images or on templates, perhaps against
//! a discriminator.

use tch::{Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::{Batch, Dataset};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss};
use vqkit_quantizer::Mode;
use vqkit_vqvae::Tokenizer;

use crate::{
    batches,
    codebook_watch::Codebooks,
    context::Context,
    domain::{Domain, Shape},
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
    trainer::{self, Better, Figure, Trainer},
    watch::Watch,
};

/// Originals above reconstructions in the logged picture.
const SHOWN: usize = 8;

/// Builds a tokenizer of a recipe with random weights.
///
/// # Errors
/// When its configuration cannot be built, or the pictures' size does not fit its downsampling.
pub fn build(recipe: &Recipe, domain: Domain, context: &Context) -> Result<(VarStore, Tokenizer)> {
    let vs = VarStore::new(context.device);
    let shape = domain.shape(&recipe.data);
    let channels = shape.channels as i64;
    let config = recipe.tokenizer(domain)?;
    let tokenizer = config.network.build(&vs.root(), channels, &config.quantizer)?;
    tokenizer.grid_shapes(shape.size.into())?;
    if tokenizer.out_channels() != channels {
        let (name, out) = (domain.stage(), tokenizer.out_channels());
        return Err(PipelineError::Usage(format!("{name}.out_ch is {out}, its pictures have {channels} channels")));
    }
    Ok((vs, tokenizer))
}

/// Builds the discriminator of a tokenizer with random weights, where it has one.
///
/// # Errors
/// When its configuration cannot be built.
pub fn build_adversary(
    recipe: &Recipe,
    domain: Domain,
    context: &Context,
) -> Result<Option<(VarStore, DiscriminatorObjective)>> {
    let Some(config) = &recipe.tokenizer(domain)?.loss.adversarial else { return Ok(None) };
    let vs = VarStore::new(context.device);
    let adversary = DiscriminatorObjective::new(&vs.root(), domain.shape(&recipe.data).channels as i64, &config.game)?;
    Ok(Some((vs, adversary)))
}

/// Trains a tokenizer of `recipe`, or goes on where the run's last checkpoint stands; or copies another run's, where the
/// recipe takes one.
///
/// # Errors
/// When data or files cannot be read or written, the loss is not finite, or the user leaves.
pub fn train(run: &mut Run, recipe: &Recipe, domain: Domain, data: &Dataset, context: &Context) -> Result<Output> {
    let config = recipe.tokenizer(domain)?;
    if let Some(taken) = &config.taken {
        return taken::copy(run, domain, taken);
    }
    tch::manual_seed(recipe.head.seed as i64);
    let kind = context.kind(recipe.head.precision);
    let objective = objective(config, kind, run, context)?;
    let (mut tokenizer, mut adversary, mut trainer) = begin(run, recipe, domain, context)?;
    let mut loader = batches::training(recipe, data, config.train.batch_size, trainer.samples())?;
    let mut usage = LevelUsage::restore(&tokenizer.codebook_sizes(), context.device, trainer.counters());
    let mut watch = Watch::restore(context.device, trainer.counters());
    let decoder_alone = config.finetune.as_ref().is_some_and(|finetune| finetune.train == FinetunedPart::Decoder);
    trainer.settle(|trainer| Ok(measure(trainer, &tokenizer, recipe, domain, data, context)?.figure(config)))?;
    let step = Step { kind, objective: &objective, decoder_alone, micro_batches: config.train.micro_batches };

    while !trainer.is_done() {
        let batch = batches::next(&mut loader)?;
        let images = domain.of_batch(&batch, context)?;
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
        let held_out = trainer.measure_if_due(|trainer| measure(trainer, &tokenizer, recipe, domain, data, context))?;
        if let Some(held_out) = &held_out {
            watch.warning().iter().for_each(|warning| trainer.note(&format!("warning: {warning}")));
            codebooks.warn(&trainer, &usage, &held_out.usage)?;
        }
        if epoch_ends(&batch, data) {
            codebooks.warn(&trainer, &usage, &usage)?;
            codebooks.log_epoch(&mut trainer, &usage)?;
            usage.reset();
        }
        trainer.set_counters(usage.save().into_iter().chain(watch.save()).collect());
        trainer.end_step(held_out.and_then(|held_out| held_out.figure(config)))?;
    }
    batches::report_bad(run, domain.stage(), &loader)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: trainer::fingerprint(&checkpoint)? })
}

/// The networks of both players, new, from another's weights or from the run's last checkpoint.
fn begin(
    run: &mut Run,
    recipe: &Recipe,
    domain: Domain,
    context: &Context,
) -> Result<(Tokenizer, Option<DiscriminatorObjective>, Trainer)> {
    let config = recipe.tokenizer(domain)?;
    let (mut vs, tokenizer) = build(recipe, domain, context)?;
    let (mut opponent_vs, adversary) = build_adversary(recipe, domain, context)?.unzip();
    if let Some(finetune) = &config.finetune {
        if trainer::is_new(run, domain.stage(), &config.train)? {
            finetune::begin(finetune, domain, &mut vs, opponent_vs.as_mut())?;
        }
        finetune::freeze(finetune, &vs, tokenizer.decoder_parts());
    }
    let network = Player::new(vs, &config.train)?;
    let opponent = match (opponent_vs, &config.loss.adversarial) {
        (Some(vs), Some(adversarial)) => Some(Player::new(vs, &adversarial.train.beside(&config.train))?),
        _ => None,
    };
    let trainer = Trainer::begin(run, domain.stage(), &config.train, network, opponent, context)?;
    Ok((tokenizer, adversary, trainer))
}

fn objective(config: &recipe::Tokenizer, kind: Kind, run: &Run, context: &Context) -> Result<GeneratorLoss> {
    let recipe::Loss { pixels, perceptual, .. } = &config.loss;
    let network = match perceptual {
        None => None,
        Some(perceptual) => perceptual::load(perceptual, run, context)?.map(|network| (perceptual.weight(), network)),
    };
    Ok(GeneratorLoss {
        reconstruction: pixels.reconstruction,
        reconstruction_weight: pixels.reconstruction_weight,
        perceptual: network,
        kind,
    })
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

/// What held-out pictures say of a tokenizer.
struct HeldOut {
    /// PSNR, or of label maps the share of pixels that are right.
    fidelity: f64,
    usage: LevelUsage,
}

impl HeldOut {
    /// What tells which checkpoint is best: the error of pixels; where other losses pull too, nothing does, and the last one is.
    fn figure(&self, config: &recipe::Tokenizer) -> Option<Figure> {
        let by_pixels = config.loss.perceptual.is_none() && config.loss.adversarial.is_none();
        by_pixels.then_some((self.fidelity, Better::Higher))
    }
}

/// Looks at held-out pictures, with the averaged weights; logs how well they are reconstructed, the use of codes and a picture.
fn measure(
    trainer: &mut Trainer,
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    domain: Domain,
    data: &Dataset,
    context: &Context,
) -> Result<HeldOut> {
    let wanted = recipe.tokenizer(domain)?.train.evaluate_samples;
    let shape = domain.shape(&recipe.data);
    let mut usage = LevelUsage::new(&tokenizer.codebook_sizes(), context.device);
    let (error, picture) = trainer.with_average(|| {
        let mut error = ReconstructionError::new(shape, wanted.min(data.validation.len()), context.device)?;
        let mut picture = None;
        for batch in batches::held_out(recipe, data, wanted, context)? {
            let images = domain.of_batch(&batch?, context)?;
            let made = no_grad(|| tokenizer.forward(&images, Mode::Eval))?;
            error.add(&made.images, &images)?;
            usage.add(made.levels.iter().map(|level| &level.grid))?;
            picture.get_or_insert_with(|| beside(shape, &images, &made.images));
        }
        Ok((error, picture))
    })?;
    let mut figures = error.figures();
    let said = error.to_string();
    figures
        .extend(usage.levels().iter().enumerate().map(|(level, of)| (format!("held_out_usage_{level}"), of.usage())));
    trainer.log(figures, &format!("held-out {said}"))?;
    if let Some(picture) = picture {
        trainer.log_picture("reconstructions", &picture)?;
    }
    Ok(HeldOut { fidelity: error.fidelity(), usage })
}

/// A row of originals above the row of their reconstructions.
pub fn beside(shape: Shape, images: &Tensor, reconstructions: &Tensor) -> Picture {
    let shown = SHOWN.min(images.size()[0] as usize);
    let row = |tensor: &Tensor| shape.pictures(&tensor.narrow(0, 0, shown as i64).to_kind(Kind::Float));
    Picture::grid(&[row(images), row(reconstructions)].concat(), shown)
}

fn epoch_ends(batch: &Batch, data: &Dataset) -> bool {
    let samples = data.train.len() as u64;
    batch.position / samples != (batch.position - batch.keys.len() as u64) / samples
}
