//! Options and result of one call that generates.

use std::fmt;

use tch::Tensor;
use vqkit_torch::Tokens;

use super::sampling::Sampling;
use crate::KnownTokens;

/// Options of one call of [`Prior::generate`](crate::Prior::generate).
///
/// ```
/// use vqkit_priors::{AutoregressiveSampling, SampleOptions};
///
/// let sampling = AutoregressiveSampling { temperature: 0.9, seed: 3, ..Default::default() }.into();
/// let options = SampleOptions { sampling, first_sample: 16, ..SampleOptions::new(8) };
/// assert_eq!(options.batch, 8);
/// ```
#[derive(Clone)]
pub struct SampleOptions<'a> {
    /// The number of grids, at least 1.
    pub batch: i64,
    /// The number of the first of them in the sequence of samples that the seed names.
    pub first_sample: u64,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Tokens that are given: one entry for each level that the prior predicts, coarse first; if empty, all tokens are
    /// sampled.
    pub known: &'a [KnownTokens],
    /// Whether log-likelihoods are computed.
    pub log_likelihood: bool,
    /// Called before every step; generation stops when it returns true.
    pub is_stopped: &'a dyn Fn() -> bool,
}

impl SampleOptions<'_> {
    /// The samples `0..batch`, with the default of everything else: no known tokens, no log-likelihoods, never stopped.
    pub fn new(batch: i64) -> Self {
        Self {
            batch,
            first_sample: 0,
            sampling: Sampling::default(),
            known: &[],
            log_likelihood: false,
            is_stopped: &|| false,
        }
    }
}

impl fmt::Debug for SampleOptions<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { batch, first_sample, sampling, known, log_likelihood, is_stopped: _ } = self;
        let mut fields = out.debug_struct("SampleOptions");
        fields.field("batch", batch).field("first_sample", first_sample).field("sampling", sampling);
        fields.field("known", known).field("log_likelihood", log_likelihood).finish_non_exhaustive()
    }
}

/// Generated grids, and their log-likelihoods.
#[derive(Debug)]
pub struct Sampled {
    /// Every level that the prior predicts, coarse first, `[B, Q, H, W]` each.
    pub tokens: Tokens,
    /// The log-likelihood of each sample's tokens under the prior, in nats, `[B]`, f64, where
    /// [`SampleOptions::log_likelihood`] is set: the sum over all sampled tokens of the log of their conditional
    /// probability at temperature 1, without guidance and filters. Known tokens do not count.
    pub log_likelihood: Option<Tensor>,
}
