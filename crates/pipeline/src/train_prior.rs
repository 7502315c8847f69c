//! Stages `prior/…`: an autoregressive model of each level's grids, mostly from token files, where no image is touched.

use std::f64::consts::LN_2;

use tch::{Tensor, nn::VarStore, no_grad};
use vqkit_data::Dataset;
use vqkit_priors::Prior;

use crate::{
    context::Context,
    domain::Domain,
    encode::{self, Split},
    error::{PipelineError, Result},
    player::Player,
    prior_batches::{self, PriorBatches},
    prior_spec::{Facts, Tokenizers},
    recipe::Recipe,
    run::{Output, Run},
    token_file::TokenHeader,
    token_set::TokenSet,
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
pub fn train(run: &mut Run, recipe: &Recipe, level: usize, data: &Dataset, context: &Context) -> Result<Output> {
    let stage = stages(recipe)[level].clone();
    let config = &recipe.priors[level];
    tch::manual_seed(recipe.head.seed as i64);
    let mut batches = PriorBatches::open(run, recipe, level, context)?;
    let held_out = read_tokens(run, Split::HeldOut)?;
    let (vs, prior) = build(recipe, level, Facts::of_header(&held_out.header), context)?;
    let mut trainer = Trainer::begin(run, &stage, &config.train, Player::new(vs, &config.train)?, None, context)?;
    batches.start(data, trainer.samples())?;
    let kind = context.kind(recipe.head.precision);
    trainer.settle(|trainer| {
        Ok(Some((measure(trainer, prior.as_ref(), recipe, level, &held_out, context)?, Better::Lower)))
    })?;

    while !trainer.is_done() {
        let (parts, position) = batches.next(trainer.samples())?;
        let share = 1.0 / parts.len() as f64;
        let losses = parts.iter().map(|part| -> Result<(Tensor, f64)> {
            let (target, condition) = batches.read(part)?;
            Ok((context.autocast(kind, || prior.loss(&target, &condition, true))?.total, share))
        });
        let loss = trainer.descend("cross_entropy", losses, position)?;
        trainer.average()?;

        if trainer.logs_now() {
            let bits = loss.double_value(&[]) / LN_2;
            trainer.log(vec![("bits_per_token".into(), bits)], &format!("{bits:.3} bits per token"))?;
        }
        let bits =
            trainer.measure_if_due(|trainer| measure(trainer, prior.as_ref(), recipe, level, &held_out, context))?;
        trainer.end_step(bits.map(|bits| (bits, Better::Lower)))?;
    }
    batches.report_bad(run, &stage)?;
    let checkpoint = trainer.finish()?;
    Ok(Output { path: run.relative(&checkpoint), fingerprint: trainer::fingerprint(&checkpoint)? })
}

fn build(recipe: &Recipe, level: usize, facts: Facts, context: &Context) -> Result<(VarStore, Box<dyn Prior>)> {
    let spec = Tokenizers::build(recipe, context)?.prior_spec(recipe, level, facts)?;
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
        let message = "nothing is held out: give the source a `validation` of its own, or set data.validation = 0.05";
        return Err(PipelineError::artifact(&folder, message));
    }
    let tokens = TokenSet::open(&paths)?;
    let is_own = |domain: Domain, found: Option<&str>| {
        found.is_none_or(|found| run.output(domain.stage()).is_some_and(|output| output.fingerprint == found))
    };
    let TokenHeader { tokenizer, template, .. } = &tokens.header;
    if !is_own(Domain::Images, Some(tokenizer)) || !is_own(Domain::Templates, template.as_deref()) {
        let reason = "written by another tokenizer than the run's; remove the folder and run the stage `tokens` again";
        return Err(PipelineError::artifact(&folder, reason));
    }
    Ok(tokens)
}

/// What the run's first token file says of itself: classes, sizes, the number of ids of captions.
///
/// # Errors
/// As [`read_tokens`].
pub fn header(run: &Run) -> Result<TokenHeader> {
    let folder = run.path().join(&run.require(encode::STAGE)?.path);
    match encode::files_of(&folder, Split::Train).first() {
        Some(first) => TokenHeader::read(first),
        None => {
            Err(PipelineError::artifact(&folder, "holds no token file; remove it and run the stage `tokens` again"))
        }
    }
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
    let figures = [
        ("held_out_nats_per_token", bits * LN_2),
        ("held_out_bits_per_token", bits),
        ("held_out_bits_per_dim", bits_per_dim(bits, &held_out.shapes()[level], recipe)),
    ];
    let figures = figures.map(|(name, figure)| (name.to_owned(), figure)).to_vec();
    trainer.log(figures, &format!("held-out {bits:.3} bits per token"))?;
    Ok(bits)
}

/// The bits of a level's tokens, spread over the `C · H · W` numbers of an image. `shape`: of the level's grid, `[Q, *S]`.
pub fn bits_per_dim(bits_per_token: f64, shape: &[i64], recipe: &Recipe) -> f64 {
    let dims = f64::from(recipe.data.image_size).powi(2) * recipe.data.color.channels() as f64;
    bits_per_token * shape.iter().product::<i64>() as f64 / dims
}

/// Mean bits per token of `wanted` grids of a set, evenly spread over it: files are often in the order of their classes.
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
        let places = (start..end).map(|index| (index * tokens.len() / wanted) as i64).collect::<Vec<_>>();
        let places = Tensor::from_slice(&places);
        context.interrupt.check()?;
        let (target, condition) = prior_batches::batch(tokens, recipe, level, &places, context.device)?;
        let loss = no_grad(|| context.autocast(kind, || prior.loss(&target, &condition, false)))?;
        bits += loss.bits_per_token() * (end - start) as f64;
    }
    Ok(bits / wanted as f64)
}
