//! What a prior learns from: grids out of token files, or out of the frozen tokenizer as it looks at augmented images.

use tch::{Device, Kind, Tensor};
use vqkit_data::{Batch, Dataset, Loader, Permutation};
use vqkit_priors::Condition;
use vqkit_torch::{TokenGrid, Tokens};
use vqkit_vqvae::Tokenizer;

use crate::{
    batches,
    conditioner::{Conditioner, with_grids},
    context::Context,
    domain::Domain,
    encode::{self, Split},
    error::{PipelineError, Result},
    load,
    recipe::{Recipe, TokenSource},
    run::Run,
    token_set::TokenSet,
    train_prior,
};

/// The training batches of the prior of one level, without end.
pub struct PriorBatches<'r> {
    recipe: &'r Recipe,
    level: usize,
    context: &'r Context,
    source: Source<'r>,
}

enum Source<'r> {
    /// Token files, in an order that follows from the place in the data.
    Files(TokenSet),
    /// Images, and what turns them and their conditions into tokens.
    Images { tokenizer: Box<Tokenizer>, conditioner: Box<Conditioner<'r>>, loader: Option<Loader> },
}

/// A batch whose tokens are not read yet, so that each of its parts can be read by itself.
pub enum Drawn {
    /// Places in the token files, `[B]`.
    Places(Tensor),
    /// Images, and what they are conditioned on.
    Samples(Box<Batch>),
}

impl<'r> PriorBatches<'r> {
    /// Opens the token files or loads the tokenizer, as the recipe says; images are not read before [`start`](Self::start).
    ///
    /// # Errors
    /// When the stages before are not done, or their files do not fit.
    pub fn open(run: &Run, recipe: &'r Recipe, level: usize, context: &'r Context) -> Result<Self> {
        let source = match recipe.priors[level].tokens {
            TokenSource::Files => Source::Files(train_prior::read_tokens(run, Split::Train)?),
            TokenSource::Encode => {
                let tokenizer = Box::new(load::tokenizer(run, recipe, Domain::Images, context)?);
                let conditioner = Box::new(Conditioner::of_run(run, recipe, Split::Train, context)?);
                Source::Images { tokenizer, conditioner, loader: None }
            }
        };
        Ok(Self { recipe, level, context, source })
    }

    /// Goes to the place where `samples` were consumed.
    ///
    /// # Errors
    /// When the images cannot be read.
    pub fn start(&mut self, data: &Dataset, samples: u64) -> Result<()> {
        if let Source::Images { loader, .. } = &mut self.source {
            let batch_size = self.recipe.priors[self.level].train.batch_size;
            *loader = Some(batches::training(self.recipe, data, batch_size, samples)?);
        }
        Ok(())
    }

    /// The next batch after `samples` were consumed, in as many parts of one size as the recipe says; and how many are consumed
    /// then.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn next(&mut self, samples: u64) -> Result<(Vec<Drawn>, u64)> {
        let train = &self.recipe.priors[self.level].train;
        let parts = train.micro_batches as i64;
        match &mut self.source {
            Source::Images { loader: Some(loader), .. } => {
                let batch = batches::next(loader)?;
                let position = batch.position;
                Ok((
                    batch.split(parts as usize).into_iter().map(|part| Drawn::Samples(Box::new(part))).collect(),
                    position,
                ))
            }
            Source::Images { loader: None, .. } => {
                Err(PipelineError::Usage("the training images of the prior were not started".into()))
            }
            Source::Files(tokens) => {
                let places = places(self.recipe.head.seed, samples, train.batch_size, tokens.len());
                let parts = places.f_chunk(parts, 0)?.into_iter().map(Drawn::Places).collect();
                Ok((parts, samples + train.batch_size as u64))
            }
        }
    }

    /// The grids to predict, and what they are predicted from.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn read(&self, drawn: &Drawn) -> Result<(TokenGrid, Condition)> {
        match (drawn, &self.source) {
            (Drawn::Samples(batch), Source::Images { tokenizer, conditioner, .. }) => {
                let kind = self.context.kind(self.recipe.head.precision);
                let mut levels = encode::grids(tokenizer, &self.context.images(batch)?, kind, self.context)?;
                levels.truncate(self.level + 1);
                let (condition, _) = conditioner.of_batch(batch)?;
                Ok(conditioned_on_coarser(condition, levels))
            }
            (Drawn::Places(places), Source::Files(tokens)) => {
                batch(tokens, self.recipe, self.level, places, self.context.device)
            }
            _ => unreachable!("a batch is read by what drew it"),
        }
    }

    /// Lists the images that were left out as bad, if there are any, beside the output of `stage`.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn report_bad(&self, run: &Run, stage: &str) -> Result<()> {
        match &self.source {
            Source::Images { loader: Some(loader), .. } => batches::report_bad(run, stage, loader),
            _ => Ok(()),
        }
    }
}

/// The grids of token files to predict, and what they are predicted from.
///
/// # Errors
/// When libtorch refuses.
pub fn batch(
    tokens: &TokenSet,
    recipe: &Recipe,
    level: usize,
    places: &Tensor,
    device: Device,
) -> Result<(TokenGrid, Condition)> {
    let mut condition = tokens.condition(places, device)?;
    if recipe.condition.class {
        condition = condition.with_class(tokens.classes.f_index_select(0, places)?.f_to_device(device)?);
    }
    let levels = (0..=level).map(|level| tokens.grid(level, places, device)).collect::<Result<_>>()?;
    Ok(conditioned_on_coarser(condition, levels))
}

/// The last of some levels, which are not empty, and a condition with the coarser ones.
fn conditioned_on_coarser(condition: Condition, mut levels: Tokens) -> (TokenGrid, Condition) {
    let target = levels.remove(levels.len() - 1);
    (target, with_grids(condition, levels))
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

/// All places from `start` to `end`.
pub fn places_between(start: usize, end: usize) -> Tensor {
    Tensor::arange_start(start as i64, end as i64, (Kind::Int64, Device::Cpu))
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
