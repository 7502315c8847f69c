//! Every tokenizer by its name in a recipe; a new one is one line here.

use tch::nn;
use vqkit_quantizer::QuantizerConfig;

use crate::{Tokenizer, TokenizerError, VqVae2Config, VqVaeConfig, VqganConfig};

vqkit_config::tagged! {
    /// `[tokenizer]` of a recipe: the architecture.
    pub enum TokenizerConfig {
        /// One level.
        "vqvae" => VqVae(VqVaeConfig),
        /// Two levels.
        "vqvae2" => VqVae2(VqVae2Config),
        /// One level, with attention.
        "vqgan" => Vqgan(VqganConfig),
    }
    macro each_tokenizer;
}

impl TokenizerConfig {
    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs`.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range, and the quantizer's errors.
    pub fn build(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        each_tokenizer!(self, |config| config.build(vs, in_channels, quantizer))
    }

    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), TokenizerError> {
        each_tokenizer!(self, |config| config.validate())
    }
}
