//! The interface of every prior: a loss to train it by, and a cursor to sample it with.

use std::f64::consts::LN_2;
use std::fmt;

use tch::{Device, Tensor};
use vqkit_torch::TokenGrid;

use crate::{Condition, PriorError, PriorSpec, SamplingWeights};

/// An autoregressive model of a grid of tokens.
pub trait Prior: fmt::Debug + Send {
    /// What the prior was built for.
    fn spec(&self) -> &PriorSpec;

    /// The raster places of the grid, `H · W` of them, in the order in which a cursor visits them. Default: raster order.
    fn places(&self) -> Vec<i64> {
        (0..self.spec().grid.iter().product()).collect()
    }

    /// Sampling pads its batches to a multiple of this many rows, so that matrix products take the same path, and round
    /// the same way, whatever the batch. Default 8, which is enough for libtorch's on the CPU.
    fn row_multiple(&self) -> i64 {
        8
    }

    /// Prepares the weights for sampling; cursors that are started later use them as they are now, until this is called
    /// again.
    ///
    /// # Errors
    /// [`PriorError::Config`] for weights that this prior does not have.
    fn set_sampling_weights(&mut self, weights: SamplingWeights) -> Result<(), PriorError> {
        match weights {
            SamplingWeights::Fp32 => Ok(()),
            _ => Err(PriorError::config("weights", "this prior is sampled with fp32 alone; transformers have others")),
        }
    }

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
    /// As [`Prior::loss`].
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

    /// The number of tokens pushed.
    fn position(&self) -> i64;

    /// The number of positions of a grid.
    fn len(&self) -> i64;

    /// Whether a grid has no positions.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The loss of a batch, in nats per token.
#[derive(Debug)]
pub struct PriorLoss {
    /// Mean over the image tokens, a scalar.
    pub image: Tensor,
    /// Mean over the text tokens, for priors that model these too.
    pub text: Option<Tensor>,
}

impl PriorLoss {
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
