//! Stages `prior/…`: an autoregressive model of each level's grids, usually trained on token files, without reading
//! images.

pub mod batches;
pub mod finetune;
mod source;

use std::{f64::consts::LN_2, sync::Arc};

use tch::{Tensor, nn::VarStore};
use vqkit_data::Dataset;
use vqkit_models::{ConditionVocabulary, Tokenizers};
use vqkit_priors::Prior;
use vqkit_recipe::{Recipe, stage_names};
use vqkit_run::{Context, Output, Run, checkpoint_weights};
use vqkit_tokens::{Split, TokenSet, bits, run_tokens};

use crate::{
    error::Result, prior::batches::PriorBatches, prior::finetune::Finetuned, train_state::TrainState, trainer,
    trainer::Goal, trainer::Trainer,
};

/// Trains the prior of one level, or continues from the run's last checkpoint.
///
/// # Errors
/// When files cannot be read or written, the loss is not finite, or the user interrupts.
pub fn train(run: &mut Run, level: usize, data: &Dataset, context: &Context) -> Result<Output> {
    let recipe = &Arc::clone(run.recipe());
    let stage = stage_names::stages(recipe)[level].clone();
    let config = &recipe.priors[level];
    tch::manual_seed(recipe.head.seed as i64);
    let mut batches = PriorBatches::open(run, level, context)?;
    let validation = run_tokens::read_tokens(run, Split::Validation)?;
    let (mut vs, prior) = build(recipe, level, validation.header.facts(), context)?;
    let finetuned = Finetuned::of(recipe, level, prior.spec());
    if let Some(finetuned) = &finetuned
        && trainer::is_new(run, &stage, &config.train)?
    {
        finetuned.begin(&mut vs, &validation.header.classes, run, context)?;
    }
    let kind = context.kind(recipe.head.precision);
    let network = match finetuned.map(|finetuned| finetuned.freeze(&vs)).transpose()?.flatten() {
        Some(lora) => TrainState::with_lora(vs, lora, &config.train, kind)?,
        None => TrainState::new(vs, &config.train, kind)?,
    };
    let mut trainer = Trainer::begin(run, &stage, &config.train, network, None, context)?;
    batches.start(data, trainer.samples())?;
    trainer.settle(|trainer| {
        Ok(Some((measure(trainer, prior.as_ref(), recipe, level, &validation, context)?, Goal::Minimize)))
    })?;

    while !trainer.is_done() {
        let (parts, position) = batches.next(trainer.samples())?;
        let share = 1.0 / parts.len() as f64;
        let losses = parts.iter().map(|part| -> Result<(Tensor, f64)> {
            let (target, condition) = batches.read(part)?;
            Ok((context.autocast(kind, || prior.loss(std::slice::from_ref(&target), &condition, true))?.total, share))
        });
        let loss = trainer.descend("cross_entropy", losses, position)?;
        trainer.average()?;

        if trainer.logs_now() {
            let bits = loss.double_value(&[]) / LN_2;
            trainer.log(vec![("bits_per_token".into(), bits)], &format!("{bits:.3} bits per token"))?;
            let exploded = trainer.guards_mut().loss(bits);
            trainer.answer(exploded, None)?;
        }
        let bits =
            trainer.measure_if_due(|trainer| measure(trainer, prior.as_ref(), recipe, level, &validation, context))?;
        if let Some(bits) = bits {
            let diverged = trainer.guards_mut().bits(bits);
            trainer.answer(diverged, None)?;
        }
        trainer.end_step(bits.map(|bits| (bits, Goal::Minimize)))?;
    }
    batches.report_bad(run, &stage)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: checkpoint_weights::fingerprint(&checkpoint)? })
}

fn build(
    recipe: &Recipe,
    level: usize,
    facts: ConditionVocabulary,
    context: &Context,
) -> Result<(VarStore, Box<dyn Prior>)> {
    let spec = Tokenizers::build(recipe, context)?.prior_spec(recipe, level, facts)?;
    let vs = VarStore::new(context.device);
    let prior = recipe.priors[level].network.build(&vs.root(), &spec)?;
    Ok((vs, prior))
}

/// Validation bits per token, with the averaged weights.
fn measure(
    trainer: &mut Trainer,
    prior: &dyn Prior,
    recipe: &Recipe,
    level: usize,
    validation: &TokenSet,
    context: &Context,
) -> Result<f64> {
    let wanted = recipe.priors[level].train.validate_samples;
    let bits = trainer.with_average(|| Ok(bits::bits_per_token(prior, recipe, level, validation, wanted, context)?))?;
    let metrics = [
        ("validation_nats_per_token", bits * LN_2),
        ("validation_bits_per_token", bits),
        ("validation_bits_per_dim", bits::bits_per_dim(bits, &validation.shapes()[level], recipe)),
    ];
    let metrics = metrics.map(|(name, metric)| (name.to_owned(), metric)).to_vec();
    trainer.log(metrics, &format!("validation {bits:.3} bits per token"))?;
    Ok(bits)
}
