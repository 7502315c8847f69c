//! Training data of a prior: grids from token files, or from the frozen tokenizer, which encodes augmented images.

use std::sync::Arc;

use tch::Tensor;
use vqkit_data::{Batch, Dataset, Loader};
use vqkit_models::{grids, load};
use vqkit_priors::Condition;
use vqkit_recipe::{Modality, Recipe, TokenSource};
use vqkit_run::{Context, Run};
use vqkit_tokens::{ConditionEncoder, Split, TokenSet, level_order, loaders, run_tokens};
use vqkit_torch::TokenGrid;
use vqkit_vqvae::Tokenizer;

use crate::{error::Result, error::TrainError};

/// The endless training batches of the prior of one level.
pub struct PriorBatches {
    recipe: Arc<Recipe>,
    level: usize,
    context: Context,
    source: Source,
}

enum Source {
    /// Token files, in an order that depends only on the position in the data.
    Files(TokenSet),
    /// Images, and the encoders of images and conditions.
    Images { tokenizer: Box<Tokenizer>, condition_encoder: Box<ConditionEncoder>, loader: Option<Loader> },
}

/// A batch whose tokens are not read yet, so that its parts can be read one by one.
pub enum PriorBatch {
    /// Indices of images in the token files, `[B]`.
    Places(Tensor),
    /// Images and their conditions.
    Samples(Box<Batch>),
}

impl PriorBatches {
    /// Opens the token files or loads the tokenizer, depending on the recipe; no image is read before
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// When earlier stages are not done, or their files do not fit.
    pub fn open(run: &Run, level: usize, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let source = match recipe.priors[level].tokens {
            TokenSource::Files => Source::Files(run_tokens::read_tokens(run, Split::Train)?),
            TokenSource::Encode => {
                let tokenizer = Box::new(load::tokenizer(run, Modality::Image, context)?);
                let condition_encoder = Box::new(ConditionEncoder::of_run(run, Split::Train, context)?);
                Source::Images { tokenizer, condition_encoder, loader: None }
            }
        };
        Ok(Self { recipe: Arc::clone(recipe), level, context: context.clone(), source })
    }

    /// Moves to the position at which `samples` were consumed.
    ///
    /// # Errors
    /// When the images cannot be read.
    pub fn start(&mut self, data: &Dataset, samples: u64) -> Result<()> {
        if let Source::Images { loader, .. } = &mut self.source {
            let batch_size = self.recipe.priors[self.level].train.batch_size;
            *loader = Some(loaders::training(&self.recipe, data, batch_size, samples)?);
        }
        Ok(())
    }

    /// The next batch after `samples` were consumed, in the recipe's number of equal parts; and the number of samples
    /// that are consumed after it.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn next(&mut self, samples: u64) -> Result<(Vec<PriorBatch>, u64)> {
        let train = &self.recipe.priors[self.level].train;
        let parts = train.grad_accumulation as i64;
        match &mut self.source {
            Source::Images { loader: Some(loader), .. } => {
                let batch = loaders::next(loader)?;
                let position = batch.position;
                Ok((
                    batch.split(parts as usize).into_iter().map(|part| PriorBatch::Samples(Box::new(part))).collect(),
                    position,
                ))
            }
            Source::Images { loader: None, .. } => Err(TrainError::NotStarted),
            Source::Files(tokens) => {
                let places = level_order::places(self.recipe.head.seed, samples, train.batch_size, tokens.len());
                let parts = places.f_chunk(parts, 0)?.into_iter().map(PriorBatch::Places).collect();
                Ok((parts, samples + train.batch_size as u64))
            }
        }
    }

    /// The grids to predict, and the condition that they are predicted from.
    ///
    /// # Errors
    /// When libtorch refuses; [`TrainError::OtherSource`] for a batch of another source.
    pub fn read(&self, drawn: &PriorBatch) -> Result<(TokenGrid, Condition)> {
        match (drawn, &self.source) {
            (PriorBatch::Samples(batch), Source::Images { tokenizer, condition_encoder, .. }) => {
                let kind = self.context.kind(self.recipe.head.precision);
                let mut levels = grids::grids(tokenizer, &self.context.images(batch)?, kind, &self.context)?;
                levels.truncate(self.level + 1);
                let (condition, _) = condition_encoder.of_batch(batch)?;
                Ok(level_order::conditioned_on_coarser(condition, levels))
            }
            (PriorBatch::Places(places), Source::Files(tokens)) => {
                Ok(level_order::batch(tokens, &self.recipe, self.level, places, self.context.device)?)
            }
            _ => Err(TrainError::OtherSource),
        }
    }

    /// Writes the list of images that were left out as bad, if there are any, beside the output of `stage`.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn report_bad(&self, run: &Run, stage: &str) -> Result<()> {
        match &self.source {
            Source::Images { loader: Some(loader), .. } => Ok(loaders::report_bad(run, stage, loader)?),
            _ => Ok(()),
        }
    }
}
