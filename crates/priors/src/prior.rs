//! The interface of every prior: a loss to train it by, and a cursor to sample it with.

use std::f64::consts::LN_2;
use std::fmt;

use tch::{Device, Reduction, Tensor};
use vqkit_torch::TokenGrid;

use crate::{Condition, PriorError, PriorSpec, SamplingWeights};

/// An autoregressive model of a grid of tokens.
pub trait Prior: fmt::Debug + Send {
    /// What the prior was built for.
    fn spec(&self) -> &PriorSpec;

    /// Where its parameters lie; tokens and conditions are moved there.
    fn device(&self) -> Device;

    /// The negative log-likelihood of `target`; with `train`, dropout acts, also that of the condition.
    /// Does not look at the values of tokens and labels; see [`TokenGrid::check_range`].
    ///
    /// # Errors
    /// When target or condition are not what the prior was built for.
    fn loss(&self, target: &TokenGrid, condition: &Condition, train: bool) -> Result<PriorLoss, PriorError>;

    /// Logits `[B, K, H, W]` of every position given all earlier ones, in one pass, for a prior with `Q = 1`.
    ///
    /// # Errors
    /// As [`Prior::loss`]; [`PriorError::Config`] for a prior of several codebooks.
    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError>;

    /// A cursor at the first position of `batch` empty grids.
    ///
    /// # Errors
    /// When the condition is not what the prior was built for, in kind, shape or range.
    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError>;

    /// `condition` for `batch` rows with all that guidance moves away from replaced by its null value.
    ///
    /// # Errors
    /// [`PriorError::Config`] when the prior was trained without dropout of its condition and so has no null value.
    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError>;

    /// The sampler pads a batch to a multiple of this many rows, so that a row is rounded alike in every batch.
    ///
    /// By default 8: libtorch's matrix products then take the same path whatever the batch. A prior whose products round
    /// a row alike in any company returns 1.
    fn row_multiple(&self) -> i64 {
        8
    }

    /// The raster place of every place of the grid, `H · W` of them, in the order in which a cursor visits them; none: raster order.
    fn places(&self) -> Option<&[i64]> {
        None
    }

    /// Chooses the arithmetic of the weights that cursors read from now on; training and [`Prior::loss`] keep theirs. What is prepared
    /// does not follow weights that change later: call it again then.
    ///
    /// # Errors
    /// [`PriorError::Config`] where the prior has no such weights; by default it has those that it was trained with alone.
    fn set_sampling_weights(&mut self, weights: SamplingWeights) -> Result<(), PriorError> {
        match weights {
            SamplingWeights::Fp32 => Ok(()),
            other => {
                Err(PriorError::config("weights", format!("this prior has no {other} weights; it samples with fp32")))
            }
        }
    }
}

/// A batch of grids being written token by token, in the order of [`Prior::places`], `Q` innermost.
///
/// State is allocated once and the past is never computed again.
pub trait Cursor {
    /// Logits `[B, K]` of the next position.
    ///
    /// # Errors
    /// [`PriorError::Finished`] behind the last position.
    fn logits(&mut self) -> Result<Tensor, PriorError>;

    /// Writes `tokens` `[B]`, i64, at the next position and goes on to the one after.
    ///
    /// # Errors
    /// [`PriorError::Shape`] for another shape or kind, [`PriorError::Finished`] behind the last position.
    fn push(&mut self, tokens: &Tensor) -> Result<(), PriorError>;

    /// Writes `tokens` `[B, n]`, i64, at the next `n` positions; no logits are asked for between them, so that a cursor may
    /// read them in one pass. By default they are pushed one by one.
    ///
    /// # Errors
    /// As [`Cursor::push`]; tokens before the one that is refused are written.
    fn prefill(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        if tokens.dim() != 2 {
            return Err(PriorError::shape("prefilled tokens", "Int64 [B, n]", tokens));
        }
        (0..tokens.size()[1]).try_for_each(|index| self.push(&tokens.select(1, index)))
    }

    /// The number of tokens pushed.
    fn position(&self) -> i64;

    /// The number of positions of a grid.
    fn len(&self) -> i64;

    /// Whether a grid has no positions.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The mean cross entropy of tokens `[B, H, W]` under logits `[B, K, H, W]`, a scalar in nats.
///
/// Flattened, since libtorch's loss of maps is not deterministic on a GPU.
pub(crate) fn cross_entropy_of_maps(logits: &Tensor, tokens: &Tensor) -> Result<Tensor, PriorError> {
    let rows = logits.f_permute([0, 2, 3, 1])?.f_flatten(0, 2)?;
    Ok(rows.f_cross_entropy_loss(&tokens.f_flatten(0, -1)?, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
}

/// The loss of a batch, in nats per token.
#[derive(Debug)]
pub struct PriorLoss {
    /// Mean over the image tokens, a scalar.
    pub image: Tensor,
    /// Mean over the text tokens, for priors that model these too.
    pub text: Option<Tensor>,
    /// What training descends: the image loss, and the text loss with its weight.
    pub total: Tensor,
}

impl PriorLoss {
    /// That of a prior that models no text.
    pub(crate) fn of_image(image: Tensor) -> Self {
        Self { total: image.shallow_clone(), image, text: None }
    }

    /// The image loss in bits per token; waits for the device.
    pub fn bits_per_token(&self) -> f64 {
        self.image.double_value(&[]) / LN_2
    }

    /// The bits that an image's `tokens` take, per dimension of an image of `dims = C · H · W` values.
    ///
    /// The rate of the tokens, as the VQ-VAE literature reports it; no bound on the likelihood of the image.
    pub fn bits_per_dim(&self, tokens: i64, dims: i64) -> f64 {
        self.bits_per_token() * tokens as f64 / dims as f64
    }
}
