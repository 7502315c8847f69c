//! What a prior learns from: grids out of token files, or out of the frozen tokenizer as it looks at augmented images.

use tch::{Device, Kind, Tensor};
use vqkit_data::{Dataset, Loader, Permutation};
use vqkit_priors::Condition;
use vqkit_torch::TokenGrid;
use vqkit_vqvae::Tokenizer;

use crate::{
    batches,
    context::Context,
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
    source: Source,
}

enum Source {
    /// Token files, in an order that follows from the place in the data.
    Files(TokenSet),
    /// Images, and what turns them into tokens.
    Images { tokenizer: Box<Tokenizer>, loader: Option<Loader> },
}

/// A batch whose tokens are not read yet, so that each of its parts can be read by itself.
pub enum Drawn {
    /// Places in the token files, `[B]`.
    Places(Tensor),
    /// Images `[B, C, H, W]` on the device, and their classes `[B]`.
    Images(Tensor, Tensor),
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
                Source::Images { tokenizer: Box::new(load::tokenizer(run, recipe, context)?), loader: None }
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
                let images = self.context.images(&batch)?;
                let classes = Tensor::f_from_slice(&batch.classes)?.f_to_device(self.context.device)?;
                let parts = images.f_chunk(parts, 0)?.into_iter().zip(classes.f_chunk(parts, 0)?);
                Ok((parts.map(|(images, classes)| Drawn::Images(images, classes)).collect(), batch.position))
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
            (Drawn::Images(images, classes), Source::Images { tokenizer, .. }) => {
                let kind = self.context.kind(self.recipe.head.precision);
                let levels = encode::grids(tokenizer, images, kind, self.context)?;
                targets(self.recipe, self.level, classes, |level| Ok(levels[level].shallow_clone()))
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
    let classes = tokens.classes.f_index_select(0, places)?.f_to_device(device)?;
    targets(recipe, level, &classes, |level| tokens.grid(level, places, device))
}

/// The grid of `level`, conditioned as the recipe says on the class and on all coarser grids.
fn targets(
    recipe: &Recipe,
    level: usize,
    classes: &Tensor,
    grid: impl Fn(usize) -> Result<TokenGrid>,
) -> Result<(TokenGrid, Condition)> {
    let mut condition = Condition::none();
    if recipe.condition.class {
        condition = condition.with_class(classes.shallow_clone());
    }
    for coarser in 0..level {
        condition = condition.with_grid(grid(coarser)?);
    }
    Ok((grid(level)?, condition))
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
