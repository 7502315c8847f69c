//! The prior: a network with the classes and grids that it was built for.

use tch::{Device, Tensor};
use vqkit_torch::TokenGrid;

use super::context::Context;
use super::cursor::PixelCnnCursor;
use super::network::Network;
use crate::classes::Classes;
use crate::loss::cross_entropy_of_maps;
use crate::{
    Autoregressive, Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec, SampleOptions, Sampled, Sampling,
    autoregressive,
};

/// Gated PixelCNN over one grid of tokens with one codebook; created by
/// [`GatedPixelCnnConfig::build`](super::GatedPixelCnnConfig::build).
#[derive(Debug)]
pub struct GatedPixelCnn {
    spec: PriorSpec,
    network: Network,
    classes: Option<Classes>,
}

impl GatedPixelCnn {
    pub(super) fn new(network: Network, classes: Option<Classes>, spec: &PriorSpec) -> Self {
        Self { spec: spec.clone(), network, classes }
    }

    fn context(&self, condition: &Condition, batch: i64, train: bool) -> Result<Context, PriorError> {
        self.spec.check(condition, batch, self.has_null())?;
        let labels = |classes: Classes| classes.labels(condition, batch, self.device(), train);
        let features = self.network.features(condition, self.spec.target.grid)?;
        Ok(Context { class: self.classes.map(labels), features })
    }

    /// Checks the range of a condition's values.
    fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        condition.grids.iter().try_for_each(TokenGrid::check_range)?;
        self.classes.map_or(Ok(()), |classes| classes.check(condition))
    }

    fn has_null(&self) -> bool {
        self.classes.is_some_and(Classes::has_null)
    }
}

impl Prior for GatedPixelCnn {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    fn device(&self) -> Device {
        self.network.embedding.device()
    }

    fn loss(&self, targets: &[TokenGrid], condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        let target = self.spec.only_target(targets)?;
        let context = self.context(condition, target.batch(), train)?;
        let tokens = target.indices.squeeze_dim(1).to_device(self.device());
        let logits = self.network.forward(&tokens, &context, train)?;
        Ok(PriorLoss::of_image(cross_entropy_of_maps(&logits, &tokens)?))
    }

    fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        Classes::null(self.classes, condition, batch, self.device())
    }

    fn generate(&self, condition: &Condition, options: &SampleOptions) -> Result<Sampled, PriorError> {
        autoregressive::sample(self, condition, options)
    }

    fn check_sampling(&self, sampling: &Sampling) -> Result<(), PriorError> {
        autoregressive::check(self, sampling)
    }

    fn as_autoregressive(&self) -> Option<&dyn Autoregressive> {
        Some(self)
    }
}

impl Autoregressive for GatedPixelCnn {
    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target.check(target, "the target")?;
        let context = self.context(condition, target.batch(), false)?;
        self.network.forward(&target.indices.squeeze_dim(1).to_device(self.device()), &context, false)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        self.spec.check(condition, batch, self.has_null())?;
        self.check_range(condition)?;
        let context = self.context(condition, batch, false)?;
        Ok(Box::new(PixelCnnCursor::new(&self.network, self.spec.target.grid, &context, batch)?))
    }
}
