//! Stages `tokenizer` and `template`: encoder, codebook and decoder are trained together on images or on templates,
//! optionally against a discriminator.

pub mod codebook_monitor;
pub mod finetune;
mod foreign;
pub mod step;

use std::sync::Arc;

use tch::{Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::{Batch, Dataset};
use vqkit_fidelity::ReconstructionError;
use vqkit_guard::{DiscriminatorMonitor, Fault};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss};
use vqkit_models::{build, inherit, perceptual};
use vqkit_quantizer::Mode;
use vqkit_recipe::{FinetunedPart, InputSpec, Modality, Recipe};
use vqkit_run::{Context, Output, RgbImage, Run, batch_tensors, checkpoint_weights};
use vqkit_tokens::{TokenUsage, loaders};
use vqkit_vqvae::Tokenizer;

use crate::{
    error::Result, tokenizer::codebook_monitor::CodebookMonitor, tokenizer::step::Step, tokenizer::step::StepOutput,
    train_state::TrainState, trainer, trainer::Goal, trainer::Score, trainer::Trainer, trainer::Updated,
};

/// Number of originals, above their reconstructions, in the logged image.
const SHOWN: usize = 8;

/// Trains a tokenizer of `recipe`, or continues from the run's last checkpoint; or copies another run's tokenizer,
/// where the recipe inherits one.
///
/// # Errors
/// When data or files cannot be read or written, the loss is not finite, or the user interrupts.
pub fn train(run: &mut Run, modality: Modality, data: &Dataset, context: &Context) -> Result<Output> {
    let recipe = &Arc::clone(run.recipe());
    let config = recipe.tokenizer(modality)?;
    if let Some(inherited) = &config.inherited {
        return Ok(inherit::copy(run, modality, inherited, context)?);
    }
    tch::manual_seed(recipe.head.seed as i64);
    let kind = context.kind(recipe.head.precision);
    let objective = objective(config, kind, run, context)?;
    let (mut tokenizer, mut discriminator_objective, mut trainer) = begin(run, modality, context)?;
    let mut loader = loaders::training(recipe, data, config.train.batch_size, trainer.samples())?;
    let mut usage = TokenUsage::restore(&tokenizer.codebook_sizes(), context.device, trainer.counters());
    let mut monitor = DiscriminatorMonitor::restore(context.device, trainer.counters());
    let finetune = config.finetune.as_ref();
    let part = finetune.map(|finetune| finetune.train).unwrap_or_default();
    let discriminator_warmup_steps = finetune.map_or(0, |finetune| finetune.discriminator_warmup_steps);
    trainer.settle(|trainer| Ok(measure(trainer, &tokenizer, recipe, modality, data, context)?.score(config)))?;
    let grad_accumulation = config.train.grad_accumulation;
    let step = Step { kind, objective: &objective, part, discriminator_warmup_steps, grad_accumulation };

    while !trainer.is_done() {
        let batch = loaders::next(&mut loader)?;
        let images = batch_tensors::of_batch(modality, &batch, context)?;
        if trainer.is_fresh() && config.finetune.is_none() {
            if config.quantizer.kmeans_init() == Some(true) {
                trainer.note("the codebooks start as k-means of the first batch");
            }
            no_grad(|| tokenizer.initialize(&images))?;
        }
        let now = trainer.step();
        if trainer.is_fresh() && step.warms_up(now) {
            trainer.note(&format!("the first {discriminator_warmup_steps} steps train the discriminator alone"));
        }
        let (network, discriminator) = trainer.states();
        let discriminator = discriminator_objective.as_ref().zip(discriminator);
        let (output, updated) = step.train((&tokenizer, network), discriminator, &images, now)?;
        trainer.check_terms(&output.terms.parts())?;
        trainer.step_weights(batch.position, updated)?;
        if part != FinetunedPart::Decoder && updated != Updated::Discriminator {
            no_grad(|| tokenizer.update(&output.reconstruction))?;
        }
        if let (Some(discriminator_objective), Some((real, fake))) = (&mut discriminator_objective, &output.logits) {
            discriminator_objective.update(real, fake);
            monitor.add(real, fake);
        }
        if updated != Updated::Discriminator {
            trainer.average()?;
        }
        usage.add(output.reconstruction.levels.iter().map(|level| &level.grid))?;

        if trainer.logs_now() {
            log(&mut trainer, &output, &usage, &monitor)?;
            let faults = faults_of_losses(&mut trainer, &output, discriminator_objective.as_ref(), now);
            trainer.answer(faults, None)?;
        }
        let codebooks = CodebookMonitor { config, tokenizer: &tokenizer, latents: &output.reconstruction.latents };
        let validation =
            trainer.measure_if_due(|trainer| measure(trainer, &tokenizer, recipe, modality, data, context))?;
        if let Some(validation) = &validation {
            let (monitored, collapse) = (monitor.fault(), codebooks.collapse(&trainer, &usage, &validation.usage)?);
            let faults = faults_of_validation(&mut trainer, validation, &monitored, collapse.is_some());
            let known = faults.first().and_then(|fault| match fault {
                Fault::CodebookCollapses => collapse.clone(),
                fault => monitored.as_ref().filter(|(found, _)| found == fault).map(|(_, cause)| cause.clone()),
            });
            let unsure = monitored.map(|(_, cause)| cause).into_iter().chain(collapse);
            unsure
                .filter(|cause| Some(cause) != known.as_ref())
                .for_each(|cause| trainer.note(&format!("warning: {cause}")));
            trainer.answer(faults, known.as_deref())?;
        }
        if epoch_ends(&batch, data) {
            codebooks
                .collapse(&trainer, &usage, &usage)?
                .iter()
                .for_each(|cause| trainer.note(&format!("warning: {cause}")));
            codebooks.log_epoch(&mut trainer, &usage)?;
            usage.reset();
        }
        trainer.set_counters(usage.save().into_iter().chain(monitor.save()).collect());
        trainer.end_step(validation.and_then(|validation| validation.score(config)))?;
    }
    loaders::report_bad(run, modality.stage(), &loader)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: checkpoint_weights::fingerprint(&checkpoint)? })
}

/// Tokenizer and discriminator, new or from the weights of another, or from the run's last checkpoint.
fn begin(
    run: &mut Run,
    modality: Modality,
    context: &Context,
) -> Result<(Tokenizer, Option<DiscriminatorObjective>, Trainer)> {
    let recipe = &Arc::clone(run.recipe());
    let config = recipe.tokenizer(modality)?;
    let (mut vs, tokenizer) = build::build(recipe, modality, context)?;
    let (mut discriminator_vs, discriminator_objective) =
        build::build_discriminator(recipe, modality, context)?.unzip();
    if let Some(finetune) = &config.finetune
        && trainer::is_new(run, modality.stage(), &config.train)?
    {
        finetune::begin(finetune, modality, &mut vs, &tokenizer, discriminator_vs.as_mut(), context)?;
    }
    let kind = context.kind(recipe.head.precision);
    let network = network_state(config, kind, modality, vs, &tokenizer)?;
    let discriminator = match (discriminator_vs, &config.loss.adversarial) {
        (Some(vs), Some(adversarial)) => Some(TrainState::new(vs, &adversarial.train.beside(&config.train), kind)?),
        _ => None,
    };
    let trainer = Trainer::begin(run, modality.stage(), &config.train, network, discriminator, context)?;
    Ok((tokenizer, discriminator_objective, trainer))
}

/// The tokenizer in training, with what is frozen and what has low-rank updates.
fn network_state(
    config: &vqkit_recipe::Tokenizer,
    kind: Kind,
    modality: Modality,
    vs: VarStore,
    tokenizer: &Tokenizer,
) -> Result<TrainState> {
    let Some(finetune) = &config.finetune else { return TrainState::new(vs, &config.train, kind) };
    let state = match finetune::freeze(finetune, modality, &vs, tokenizer)? {
        Some(lora) => TrainState::with_lora(vs, lora, &config.train, kind)?,
        None => TrainState::new(vs, &config.train, kind)?,
    };
    // The adaptive weight needs the gradient at the last layer, also where that layer is not trained. What is trained was
    // settled above.
    let _ = tokenizer.last_layer().set_requires_grad(true);
    Ok(state)
}

fn objective(config: &vqkit_recipe::Tokenizer, kind: Kind, run: &Run, context: &Context) -> Result<GeneratorLoss> {
    let vqkit_recipe::Loss { pixels, perceptual, .. } = &config.loss;
    let mut network = match perceptual {
        None => None,
        Some(perceptual) => perceptual::load(perceptual, run, context)?.map(|network| (perceptual.weight(), network)),
    };
    if let Some((_, network)) = &mut network {
        network.prepare(kind);
    }
    Ok(GeneratorLoss {
        reconstruction: pixels.reconstruction,
        reconstruction_weight: pixels.reconstruction_weight,
        perceptual: network,
        kind,
    })
}

fn log(trainer: &mut Trainer, output: &StepOutput, usage: &TokenUsage, monitor: &DiscriminatorMonitor) -> Result<()> {
    let mut metrics = output.terms.metrics();
    let mut shown = format!("{} {:.4}", metrics[0].0, metrics[0].1);
    for (level, usage) in usage.levels().iter().enumerate() {
        metrics.push((format!("usage_{level}"), usage.usage()));
        metrics.push((format!("perplexity_{level}"), usage.perplexity()));
    }
    shown += &format!("  codes in use {:.0} %", usage.levels()[0].usage() * 100.0);
    if output.logits.is_some() {
        let (real, fake) = monitor.accuracies();
        metrics.extend([("real_accuracy".into(), real), ("fake_accuracy".into(), fake)]);
        shown += &format!("  discriminator right on {:.0} / {:.0} %", real * 100.0, fake * 100.0);
    }
    trainer.log(metrics, &shown)
}

/// The faults that the losses of a step show for sure.
fn faults_of_losses(
    trainer: &mut Trainer,
    output: &StepOutput,
    objective: Option<&DiscriminatorObjective>,
    step: u64,
) -> Vec<Fault> {
    let terms = output.terms.metrics();
    let term = |name: &str| terms.iter().find(|(found, _)| found == name).map(|(_, value)| *value);
    let loss = term("reconstruction").and_then(|loss| trainer.guards_mut().loss(loss));
    let weight = match (term("adaptive_weight"), objective) {
        (Some(weight), Some(objective)) if objective.config().adaptive && objective.weight(step) > 0.0 => {
            let bound = objective.config().max_adaptive_weight;
            trainer.guards_mut().adaptive_weight(weight / objective.weight(step), bound)
        }
        _ => None,
    };
    loss.into_iter().chain(weight).collect()
}

/// The faults that a validation shows for sure. `monitored`: what the discriminator's monitor found, sure or not.
fn faults_of_validation(
    trainer: &mut Trainer,
    validation: &Validation,
    monitored: &Option<(Fault, String)>,
    collapses: bool,
) -> Vec<Fault> {
    let guards = trainer.guards_mut();
    let mut faults: Vec<Fault> = [Fault::DiscriminatorWins, Fault::DiscriminatorGuesses]
        .into_iter()
        .filter_map(|fault| guards.reading(fault, monitored.as_ref().is_some_and(|(found, _)| *found == fault)))
        .collect();
    faults.extend(guards.reading(Fault::CodebookCollapses, collapses));
    faults.extend(guards.psnr(validation.fidelity));
    faults
}

/// The results of a tokenizer on validation images.
struct Validation {
    /// PSNR in dB, or for label maps the pixels that are right, in percent.
    fidelity: f64,
    usage: TokenUsage,
}

impl Validation {
    /// The metric that selects the best checkpoint: the error of pixels; with other losses there is none, and the last
    /// checkpoint is used.
    fn score(&self, config: &vqkit_recipe::Tokenizer) -> Option<Score> {
        let by_pixels = config.loss.perceptual.is_none() && config.loss.adversarial.is_none();
        by_pixels.then_some((self.fidelity, Goal::Maximize))
    }
}

/// Evaluates on validation images with the averaged weights; logs the error of reconstructions, the usage of codes and
/// an image.
fn measure(
    trainer: &mut Trainer,
    tokenizer: &Tokenizer,
    recipe: &Recipe,
    modality: Modality,
    data: &Dataset,
    context: &Context,
) -> Result<Validation> {
    let wanted = recipe.tokenizer(modality)?.train.validate_samples;
    let shape = modality.input_spec(&recipe.data);
    let mut usage = TokenUsage::new(&tokenizer.codebook_sizes(), context.device);
    let (error, picture) = trainer.with_average(|| {
        let mut error = ReconstructionError::new(shape, wanted.min(data.validation.len()), context.device)?;
        let mut picture = None;
        for batch in loaders::validation(recipe, data, wanted, context)? {
            let images = batch_tensors::of_batch(modality, &batch?, context)?;
            let made = no_grad(|| tokenizer.forward(&images, Mode::Eval))?;
            error.add(&made.images, &images)?;
            usage.add(made.levels.iter().map(|level| &level.grid))?;
            picture.get_or_insert_with(|| beside(shape, &images, &made.images));
        }
        Ok((error, picture))
    })?;
    let mut metrics = error.metrics();
    let said = error.to_string();
    metrics
        .extend(usage.levels().iter().enumerate().map(|(level, of)| (format!("validation_usage_{level}"), of.usage())));
    trainer.log(metrics, &format!("validation {said}"))?;
    if let Some(picture) = picture {
        trainer.log_picture("reconstructions", &picture)?;
    }
    let fidelity = if error.pixels().is_some() { error.fidelity() } else { 100.0 * error.fidelity() };
    Ok(Validation { fidelity, usage })
}

/// A row of originals above the row of their reconstructions.
pub fn beside(shape: InputSpec, images: &Tensor, reconstructions: &Tensor) -> RgbImage {
    let shown = SHOWN.min(images.size()[0] as usize);
    let row = |tensor: &Tensor| batch_tensors::pictures(shape, &tensor.narrow(0, 0, shown as i64).to_kind(Kind::Float));
    RgbImage::grid(&[row(images), row(reconstructions)].concat(), shown)
}

fn epoch_ends(batch: &Batch, data: &Dataset) -> bool {
    let samples = data.train.len() as u64;
    batch.position / samples != (batch.position - batch.keys.len() as u64) / samples
}
