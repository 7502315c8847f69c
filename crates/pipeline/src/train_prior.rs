//! Stages `prior/…`: an autoregressive model of each level's grids, from token files; no image is touched.

use tch::{Device, Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::Permutation;
use vqkit_priors::{Condition, Prior};

use crate::{
    context::Context,
    encode::{self, Split},
    error::{PipelineError, Result},
    load,
    player::Player,
    recipe::Recipe,
    run::{Output, Run},
    token_file::TokenSet,
    train_tokenizer,
    trainer::{self, Better, Trainer},
};

/// The stage of every level's prior, coarse first: `prior/0` where there is one, `prior/0-top` and `prior/1-bottom`
/// where there are two.
pub fn stages(recipe: &Recipe) -> Vec<String> {
    let name = |level: usize| match (recipe.priors.len(), level) {
        (1, _) => "prior/0".to_owned(),
        (_, 0) => "prior/0-top".to_owned(),
        (count, level) if level + 1 == count => format!("prior/{level}-bottom"),
        (_, level) => format!("prior/{level}"),
    };
    (0..recipe.priors.len()).map(name).collect()
}

/// Trains the prior of one level, or goes on where the run's last checkpoint stands.
///
/// # Errors
/// When files cannot be read or written, the loss is not finite, or the user leaves.
pub fn train(run: &mut Run, recipe: &Recipe, level: usize, context: &Context) -> Result<Output> {
    let stage = stages(recipe)[level].clone();
    let config = &recipe.priors[level];
    tch::manual_seed(recipe.head.seed as i64);
    let tokens = read_tokens(run, Split::Train)?;
    let held_out = read_tokens(run, Split::HeldOut)?;
    let (vs, prior) = build(recipe, level, tokens.header.classes.len() as u32, context)?;
    let mut trainer = Trainer::begin(run, &stage, &config.train, Player::new(vs, &config.train)?, None, context)?;
    let kind = context.kind(recipe.head.precision);

    while !trainer.is_done() {
        let places = places(recipe.head.seed, trainer.samples(), config.train.batch_size, tokens.len());
        let (target, condition) = batch(&tokens, recipe, level, &places, context.device)?;
        let loss = context.autocast(kind, || prior.loss(&target, &condition, true))?;
        let position = trainer.samples() + config.train.batch_size as u64;
        trainer.descend("cross_entropy", &loss.image, position)?;
        trainer.average()?;

        if trainer.logs_now() {
            let bits = loss.bits_per_token();
            trainer.log(vec![("bits_per_token".into(), bits)], &format!("{bits:.3} bits per token"))?;
        }
        let figure = match trainer.evaluates_now() {
            true => Some((measure(&mut trainer, prior.as_ref(), recipe, level, &held_out, context)?, Better::Lower)),
            false => None,
        };
        trainer.end_step(figure)?;
    }
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: trainer::fingerprint(&checkpoint)? })
}

fn build(recipe: &Recipe, level: usize, classes: u32, context: &Context) -> Result<(VarStore, Box<dyn Prior>)> {
    let (_, tokenizer) = train_tokenizer::build(recipe, context)?;
    let spec = load::prior_spec(recipe, &tokenizer, level, classes)?;
    let vs = VarStore::new(context.device);
    let prior = recipe.priors[level].network.build(&vs.root(), &spec)?;
    Ok((vs, prior))
}

/// The run's token files of a split, which must be the trained tokenizer's own.
///
/// # Errors
/// When the stage `tokens` is not done, or the files were written by another tokenizer.
pub fn read_tokens(run: &Run, split: Split) -> Result<TokenSet> {
    let folder = run.path().join(&run.require(encode::STAGE)?.path);
    let paths = encode::files_of(&folder, split);
    if paths.is_empty() {
        let message = "nothing is held out: give the source a `held_out` of its own, or set data.held_out = 0.05";
        return Err(PipelineError::artifact(&folder, message));
    }
    let tokens = TokenSet::read(&paths)?;
    if tokens.header.tokenizer != run.require(train_tokenizer::STAGE)?.fingerprint {
        let reason = "written by another tokenizer than the run's; remove the folder and run the stage `tokens` again";
        return Err(PipelineError::artifact(&folder, reason));
    }
    Ok(tokens)
}

/// Which samples a step takes: a permutation of all of them per epoch, computed from the position alone.
fn places(seed: u64, position: u64, batch_size: usize, samples: usize) -> Tensor {
    let samples = samples as u64;
    let place = |position: u64| {
        let epoch = position / samples;
        Permutation::new(samples, (seed << 32) ^ epoch).at(position % samples) as i64
    };
    Tensor::from_slice(&(position..position + batch_size as u64).map(place).collect::<Vec<_>>())
}

/// The grids to predict, and what they are predicted from.
///
/// # Errors
/// When libtorch refuses.
pub fn batch(
    tokens: &TokenSet,
    recipe: &Recipe,
    level: usize,
    places: &Tensor,
    device: Device,
) -> Result<(vqkit_torch::TokenGrid, Condition)> {
    let mut condition = Condition::none();
    if recipe.condition.class {
        condition = condition.with_class(tokens.classes.f_index_select(0, places)?.to_device(device));
    }
    for coarser in 0..level {
        condition = condition.with_grid(tokens.grid(coarser, places, device)?);
    }
    Ok((tokens.grid(level, places, device)?, condition))
}

/// Held-out bits per token, with the averaged weights.
fn measure(
    trainer: &mut Trainer,
    prior: &dyn Prior,
    recipe: &Recipe,
    level: usize,
    held_out: &TokenSet,
    context: &Context,
) -> Result<f64> {
    let wanted = recipe.priors[level].train.evaluate_samples;
    let bits = trainer.with_average(|| bits_per_token(prior, recipe, level, held_out, wanted, context))?;
    trainer.log(vec![("held_out_bits_per_token".into(), bits)], &format!("held-out {bits:.3} bits per token"))?;
    Ok(bits)
}

/// Mean bits per token of the first `wanted` grids of a set.
///
/// # Errors
/// When libtorch refuses.
pub fn bits_per_token(
    prior: &dyn Prior,
    recipe: &Recipe,
    level: usize,
    tokens: &TokenSet,
    wanted: usize,
    context: &Context,
) -> Result<f64> {
    let wanted = wanted.min(tokens.len());
    let (mut bits, kind) = (0.0, context.kind(recipe.head.precision));
    for start in (0..wanted).step_by(recipe.evaluate.batch_size) {
        let end = wanted.min(start + recipe.evaluate.batch_size);
        let places = Tensor::arange_start(start as i64, end as i64, (Kind::Int64, Device::Cpu));
        let (target, condition) = batch(tokens, recipe, level, &places, context.device)?;
        let loss = no_grad(|| context.autocast(kind, || prior.loss(&target, &condition, false)))?;
        bits += loss.bits_per_token() * (end - start) as f64;
    }
    Ok(bits / wanted as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_sample_once_whatever_the_batch_size() {
        let visited = |batch_size: usize| -> Vec<i64> {
            let starts = (0..60).step_by(batch_size);
            starts.flat_map(|at| Vec::<i64>::try_from(places(3, at as u64, batch_size, 20)).unwrap()).collect()
        };
        assert_eq!(visited(4), visited(6));
        for epoch in visited(4).chunks(20) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert!(epoch.into_iter().eq(0..20));
        }
    }
}
