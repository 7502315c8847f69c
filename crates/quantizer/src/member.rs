//! What the configuration of every quantizer provides.

use tch::nn;

use crate::{Metric, QuantizeError, Quantizer};

/// How a quantizer assigns a code to a latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// The nearest code of a table.
    Nearest,
    /// The code with the largest logit, where a trained map turns latents into logits.
    Logits,
    /// The code of a table that has the largest product with the latent.
    Product,
    /// A rule; the codes are fixed.
    Rule,
}

/// What a member of [`QuantizerConfig`](crate::QuantizerConfig) provides. The default methods are for members without
/// that feature.
pub(crate) trait Member {
    /// Checks every value, without building anything.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range.
    fn validate(&self) -> Result<(), QuantizeError>;

    /// Creates the quantizer for latents of width `dim`, with its variables at `vs`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and when the width does not fit.
    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError>;

    /// Numbers in its tables of codes for latents of width `dim`, which is at least 1.
    fn least_parameters(&self, dim: i64) -> i64;

    /// How it assigns a code to a latent.
    fn assignment(&self) -> Assignment {
        Assignment::Nearest
    }

    /// Metric by which latents and the codes of its table are compared, where the latents are compared unchanged.
    fn metric(&self) -> Option<Metric> {
        None
    }

    /// Weight of the commitment loss, which keeps latents near their codes.
    fn commitment_weight(&self) -> Option<f64> {
        None
    }

    /// Weight of the entropies of soft assignments, which keep all codes in use.
    fn entropy_weight(&self) -> Option<f64> {
        None
    }

    /// Whether the codes are initialized by k-means on the first batch.
    fn kmeans_init(&self) -> Option<bool> {
        None
    }

    /// Steps without use after which a code is replaced; 0 for never.
    fn revive_after(&self) -> Option<u64> {
        None
    }
}
