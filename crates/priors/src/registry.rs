//! Every prior there is: one line each.

use tch::{Device, nn};
use vqkit_torch::{attempt, memory};

use crate::gpt::{Gpt2Config, LlamaConfig};
use crate::pixelcnn::GatedPixelCnnConfig;
use crate::pixelsnail::PixelSnailConfig;
use crate::{Cost, Prior, PriorError, PriorSpec, Sampling, SamplingWeights};

vqkit_config::tagged! {
    /// The configuration of a prior.
    pub enum PriorConfig {
        /// Gated PixelCNN: convolutions over the grid.
        "pixelcnn" => PixelCnn(GatedPixelCnnConfig),
        /// taming-transformers' GPT.
        "gpt2" => Gpt2(Gpt2Config),
        /// LlamaGen's transformer.
        "llama" => Llama(LlamaConfig),
        /// PixelSNAIL: convolutions, and attention to all earlier positions.
        "pixelsnail" => PixelSnail(PixelSnailConfig),
    }
    macro each_prior;
}

impl PriorConfig {
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
        let build = || -> Result<Box<dyn Prior>, PriorError> {
            each_prior!(self, |config| Ok(Box::new(config.build(vs, spec)?)))
        };
        attempt("the parameters of the prior", build)
    }

    /// Whether the prior can be built for `spec`, without building it.
    ///
    /// # Errors
    /// As [`PriorConfig::build`].
    pub fn check(&self, spec: &PriorSpec) -> Result<(), PriorError> {
        each_prior!(self, |config| config.check(spec))
    }

    /// What the prior costs when it is built for `spec`, without building it.
    ///
    /// # Errors
    /// As [`PriorConfig::build`].
    pub fn cost(&self, spec: &PriorSpec) -> Result<Cost, PriorError> {
        each_prior!(self, |config| config.cost(spec))
    }

    /// Whether the prior can be sampled so, without building it; does not look at `size`.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or that this prior has no means for.
    pub fn check_sampling(
        &self,
        sampling: &Sampling,
        weights: SamplingWeights,
        spec: &PriorSpec,
    ) -> Result<(), PriorError> {
        sampling.validate()?;
        let (has_null, has_weights) = each_prior!(self, |config| (config.has_null(), config.has_weights(weights)));
        if sampling.guides(spec.positions()) && !has_null {
            let reason = "guidance needs a prior that is trained without its condition now and then: class_dropout or \
                          condition_dropout above 0";
            return Err(PriorError::config("cfg_scale", reason));
        }
        match has_weights {
            true => Ok(()),
            false => {
                Err(PriorError::config("weights", format!("this prior has no {weights} weights; it samples with fp32")))
            }
        }
    }

    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        each_prior!(self, |config| config.validate())
    }
}
