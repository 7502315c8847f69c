//! Every prior there is: one line each.

use tch::nn;

use crate::pixelcnn::GatedPixelCnnConfig;
use crate::pixelsnail::PixelSnailConfig;
use crate::{Prior, PriorError, PriorSpec};

vqkit_config::tagged! {
    /// The configuration of a prior.
    pub enum PriorConfig {
        /// Gated PixelCNN: convolutions over the grid.
        "pixelcnn" => PixelCnn(GatedPixelCnnConfig),
        /// PixelSNAIL: convolutions, and attention to all earlier positions.
        "pixelsnail" => PixelSnail(PixelSnailConfig),
    }
    macro each_prior;
}

impl PriorConfig {
    /// The prior with its parameters under `vs`.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a value that is not allowed, or a `spec` that this prior cannot model.
    pub fn build(&self, vs: &nn::Path, spec: &PriorSpec) -> Result<Box<dyn Prior>, PriorError> {
        each_prior!(self, |config| Ok(Box::new(config.build(vs, spec)?)))
    }

    /// Looks at every value.
    ///
    /// # Errors
    /// [`PriorError::Config`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), PriorError> {
        each_prior!(self, |config| config.validate())
    }
}
