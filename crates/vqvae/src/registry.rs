//! Every tokenizer by its name in a recipe; a new one is one line here.

use tch::{Device, nn};
use vqkit_quantizer::QuantizerConfig;
use vqkit_torch::{attempt, memory};

use crate::member::Member;
use crate::{
    Magvit2Config, MaskgitVqganConfig, NormKind, Tokenizer, TokenizerError, VqVae2Config, VqVaeConfig, VqganConfig,
};

vqkit_config::tagged! {
    /// `[tokenizer]` of a recipe: the architecture.
    pub enum TokenizerConfig {
        /// VQ-VAE: one level of tokens.
        "vqvae" => VqVae(VqVaeConfig),
        /// VQ-VAE-2: two levels of tokens.
        "vqvae2" => VqVae2(VqVae2Config),
        /// VQGAN: one level of tokens; encoder and decoder have attention.
        "vqgan" => Vqgan(VqganConfig),
        /// MaskGIT's VQGAN: one level of tokens; no attention.
        "maskgit-vqgan" => MaskgitVqgan(MaskgitVqganConfig),
        /// Open-MAGVIT2: one level of tokens; the codes modulate the decoder.
        "magvit2" => Magvit2(Magvit2Config),
    }
    fn member -> dyn Member;
}

impl TokenizerConfig {
    /// Makes the tokenizer of images with `in_channels` channels, with its variables at `vs`.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range, and the quantizer's errors; [`TokenizerError::Torch`] when there
    /// is less memory than it takes.
    pub fn build(
        &self,
        vs: &nn::Path,
        in_channels: i64,
        quantizer: &QuantizerConfig,
    ) -> Result<Tokenizer, TokenizerError> {
        self.validate()?;
        let parameters = self.least_parameters();
        if vs.device() == Device::Cpu {
            let what = format!("a tokenizer of at least {parameters} parameters");
            memory::check(&what, parameters.unsigned_abs().saturating_mul(4))?;
        }
        attempt("the parameters of the tokenizer", || self.member().tokenizer(vs, in_channels, quantizer))
    }

    /// A number of parameters that its networks have at least: those of the convolutions that most of them are in. Nothing is built.
    pub fn least_parameters(&self) -> i64 {
        self.member().least_parameters()
    }

    /// Looks at every value, and builds nothing.
    ///
    /// # Errors
    /// [`TokenizerError::Config`] for the first value out of range.
    pub fn validate(&self) -> Result<(), TokenizerError> {
        self.member().validate()
    }

    /// Normalisation of the latents, where that is a choice.
    pub fn latent_norm(&self) -> Option<NormKind> {
        self.member().latent_norm()
    }
}
