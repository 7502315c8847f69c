//! What every member of the registry does with its settings.

use tch::nn;

use crate::{Metric, QuantizeError, Quantizer};

/// How a quantizer gives a latent its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// The nearest code of a table.
    Nearest,
    /// The code with the largest logit, by a trained map from latents to logits.
    Logits,
    /// The code of a table that has the largest product with the latent.
    Product,
    /// A rule; the codes are fixed.
    Rule,
}

/// What a member of [`QuantizerConfig`](crate::QuantizerConfig) does. The answers to what a member does not have are the defaults.
pub(crate) trait Member {
    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    fn validate(&self) -> Result<(), QuantizeError>;

    /// Makes the quantizer for latents of width `dim`, with its variables at `vs`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and when the width does not fit.
    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError>;

    /// Numbers in its tables of codes for latents of width `dim`, which is at least 1.
    fn least_parameters(&self, dim: i64) -> i64;

    /// How it gives a latent its code.
    fn assignment(&self) -> Assignment {
        Assignment::Nearest
    }

    /// What latents and codes of its table are compared by, where the latents are compared as they come.
    fn metric(&self) -> Option<Metric> {
        None
    }

    /// Weight of the term that holds the latents to their codes.
    fn commitment_weight(&self) -> Option<f64> {
        None
    }

    /// Weight of the term that keeps all codes in use by the entropies of soft choices.
    fn entropy_weight(&self) -> Option<f64> {
        None
    }

    /// Whether the codes start as the k-means of the first batch.
    fn kmeans_init(&self) -> Option<bool> {
        None
    }

    /// Steps without use after which a code is replaced; 0 for never.
    fn revive_after(&self) -> Option<u64> {
        None
    }
}
