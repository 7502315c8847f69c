//! What every member of the registry does with its settings.

use tch::nn;
use vqkit_quantizer::QuantizerConfig;

use crate::{NormKind, Tokenizer, TokenizerError};

/// What a member of [`TokenizerConfig`](crate::TokenizerConfig) does.
pub(crate) trait Member {
    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range.
    fn validate(&self) -> Result<(), TokenizerError>;

    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and the quantizer's errors.
    fn tokenizer(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError>;

    /// A number of parameters that its networks have at least: those of the convolutions that most of them are in.
    fn least_parameters(&self) -> i64;

    /// Normalisation of the latents, where that is a choice.
    fn latent_norm(&self) -> Option<NormKind> {
        None
    }
}
