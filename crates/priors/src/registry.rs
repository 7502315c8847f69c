//! Every prior there is: a line in the table and a line in `member` each.

use tch::{Device, nn};
use vqkit_torch::{attempt, memory};

use crate::gpt::{ConditionDropoutMode, Gpt2Config, LlamaConfig};
use crate::pixelcnn::GatedPixelCnnConfig;
use crate::pixelsnail::PixelSnailConfig;
use crate::{BuildPrior, Cost, Prior, PriorError, PriorSpec, Sampling, WeightDtype};

vqkit_config::tagged! {
    /// The configuration of a prior.
    pub enum PriorConfig {
        /// Gated PixelCNN: causal convolutions over the token grid.
        "pixelcnn" => PixelCnn(GatedPixelCnnConfig),
        /// The GPT of taming-transformers.
        "gpt2" => Gpt2(Gpt2Config),
        /// The transformer of LlamaGen.
        "llama" => Llama(LlamaConfig),
        /// PixelSNAIL: causal convolutions, and attention to all earlier positions.
        "pixelsnail" => PixelSnail(PixelSnailConfig),
    }
}

impl PriorConfig {
    /// The member's own configuration.
    pub fn member(&self) -> &dyn BuildPrior {
        match self {
            Self::PixelCnn(config) => config,
            Self::Gpt2(config) => config,
            Self::Llama(config) => config,
            Self::PixelSnail(config) => config,
        }
    }

    /// Whether each part of a condition may be left out by itself.
    pub fn drops_each_condition(&self) -> bool {
        let (mode, dropout) = match self {
            Self::Gpt2(config) => (config.condition_dropout_mode, config.condition_dropout),
            Self::Llama(config) => (config.condition_dropout_mode, config.condition_dropout),
            Self::PixelCnn(_) | Self::PixelSnail(_) => return false,
        };
        mode == ConditionDropoutMode::Each && dropout > 0.0
    }

    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or a `spec` that this prior cannot model; [`PriorError::Autograd`]
    /// when there is less memory than its parameters take.
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError> {
        let Cost { parameters, .. } = self.cost(spec)?;
        if vs.device() == Device::Cpu {
            let what = format!("a prior of {parameters} parameters");
            memory::check(&what, parameters.unsigned_abs().saturating_mul(4))?;
        }
        attempt("the parameters of the prior", || self.member().build_boxed(vs, spec))
    }

    /// Whether the prior can be built for `spec`, without building it.
    ///
    /// # Errors
    /// As [`BuildPrior::check`].
    pub fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        self.member().check(spec)
    }

    /// The size of the prior, and its work and state per token, without building it.
    ///
    /// # Errors
    /// As [`BuildPrior::cost`].
    pub fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        self.member().cost(spec)
    }

    /// Whether the prior can be sampled with these options, without building it; does not check the size of a larger
    /// grid.
    ///
    /// # Errors
    /// As [`BuildPrior::check_sampling`].
    pub fn check_sampling(&self, sampling: &Sampling, dtype: WeightDtype, spec: &PriorSpec) -> Result<(), PriorError> {
        self.member().check_sampling(sampling, dtype, spec)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// As [`BuildPrior::validate`].
    pub fn validate(&self) -> Result<(), PriorError> {
        self.member().validate()
    }
}
