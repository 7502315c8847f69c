//! The traits of priors: what every prior has, and what autoregressive priors have in addition.

use std::fmt;

use tch::{Device, Tensor};
use vqkit_torch::TokenGrid;

use crate::{Condition, Cursor, PriorError, PriorLoss, PriorSpec, SampleOptions, Sampled, Sampling, WeightDtype};

/// A model of the tokens of images: a loss to train it by, and grids generated from it.
///
/// This trait does not fix how a prior factorizes the distribution of the tokens. It suffices for training and
/// sampling; [`Prior::as_autoregressive`] gives access to the cursor of an autoregressive prior.
///
/// A boxed prior can be moved into another thread; libtorch's handles cannot be shared between threads.
pub trait Prior: fmt::Debug + Send {
    /// What the prior was built for.
    fn spec(&self) -> &PriorSpec;

    /// The device of its parameters; tokens and conditions are moved there.
    fn device(&self) -> Device;

    /// The training loss of `targets`, one grid for each level that the prior predicts, coarse first; for an
    /// autoregressive prior the negative log-likelihood. With `train`, dropout is active, also that of the condition.
    /// Does not check the values of tokens and labels; see [`TokenGrid::check_range`].
    ///
    /// # Errors
    /// When targets or condition are not what the prior was built for.
    fn loss(&self, targets: &[TokenGrid], condition: &Condition, train: bool) -> Result<PriorLoss, PriorError>;

    /// The unconditional form of `condition` for `batch` rows: everything that guidance moves away from is replaced by
    /// its null value.
    ///
    /// # Errors
    /// [`PriorError::Config`] when the prior was trained without dropout of its condition and so has no null value.
    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError>;

    /// Samples a batch of grids, number `options.first_sample..` of the sequence that the seed determines. A sample
    /// depends on the seed and its number, not on the batch that it is in.
    ///
    /// # Errors
    /// [`PriorError::Config`] for an option that is not allowed or that belongs to another family of priors, or for
    /// known tokens and log-likelihoods where the family does not support them; [`PriorError::Logits`] when the prior
    /// gives NaN or infinities; [`PriorError::Stopped`] when `options.is_stopped` returns true; otherwise when the
    /// condition is not what the prior was built for.
    fn generate(&self, condition: &Condition, options: &SampleOptions) -> Result<Sampled, PriorError>;

    /// Checks that [`Prior::generate`] supports these options; samples nothing.
    ///
    /// # Errors
    /// As [`Prior::generate`] for a value of `sampling`.
    fn check_sampling(&self, sampling: &Sampling) -> Result<(), PriorError>;

    /// Chooses the data type of the weights that [`Prior::generate`] and cursors read from now on; training and [`Prior::loss`] keep
    /// theirs. The weights are copied: call it again after they change.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a type that the prior does not support; by default it supports only fp32.
    fn set_weight_dtype(&mut self, dtype: WeightDtype) -> Result<(), PriorError> {
        dtype.check(&[WeightDtype::Fp32])
    }

    /// The prior with its cursor, if it is autoregressive; `None` for any other family.
    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        None
    }
}

/// A prior that predicts one token after the other, each from all tokens before it.
///
/// Its [`Prior::generate`] is [`autoregressive::sample`](crate::autoregressive::sample), its [`Prior::check_sampling`]
/// [`autoregressive::check`](crate::autoregressive::check).
pub trait Autoregressive: Prior {
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

    /// The sampler pads a batch to a multiple of this many rows, so that a row is rounded in the same way in every
    /// batch.
    ///
    /// By default 8: libtorch's matrix products then take the same code path whatever the batch. A prior whose products
    /// round a row in the same way in every batch returns 1.
    fn row_multiple(&self) -> i64 {
        8
    }

    /// The order in which a cursor visits the grid: the raster position of each of its `H · W` steps. `None`: raster
    /// order.
    fn token_order(&self) -> Option<&[i64]> {
        None
    }
}
