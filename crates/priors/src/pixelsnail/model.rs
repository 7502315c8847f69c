//! The prior: a network with the classes and grids that it was built for.

use tch::{Device, Tensor};
use vqkit_torch::TokenGrid;

use super::context::Context;
use super::cursor::PixelSnailCursor;
use super::network::Network;
use crate::classes::Classes;
use crate::loss::cross_entropy_of_maps;
use crate::{
    Autoregressive, Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec, SampleOptions, Sampled, Sampling,
    autoregressive,
};

/// PixelSNAIL over one grid of tokens with one codebook; created by
/// [`PixelSnailConfig::build`](super::PixelSnailConfig::build).
#[derive(Debug)]
pub struct PixelSnail {
    spec: PriorSpec,
    network: Network,
    classes: Option<Classes>,
}

impl PixelSnail {
    pub(super) fn new(network: Network, classes: Option<Classes>, spec: &PriorSpec) -> Self {
        Self { spec: spec.clone(), network, classes }
    }

    /// Logits `[B, K, H, W]` as [`Autoregressive::logits`], but without condition grids, whatever the prior was built
    /// for: nothing is added in their place. Upstream is called this way without a condition; it is not trained this
    /// way.
    ///
    /// # Errors
    /// When the target, or what else there is of a condition, is not what the prior was built for.
    pub fn logits_without_grids(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target.check(target, "the target")?;
        let spec = PriorSpec { condition_grids: Vec::new(), ..self.spec.clone() };
        spec.check(condition, target.batch(), self.has_null())?;
        let context = self.network.context(condition, self.classes, target.batch(), false)?;
        self.network.forward(&self.tokens(target), &context, false)
    }

    fn tokens(&self, target: &TokenGrid) -> Tensor {
        target.indices.squeeze_dim(1).to_device(self.device())
    }

    /// A condition that was compared with what the prior was built for.
    fn context(&self, condition: &Condition, batch: i64, train: bool) -> Result<Context, PriorError> {
        self.spec.check(condition, batch, self.has_null())?;
        self.network.context(condition, self.classes, batch, train)
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

impl Prior for PixelSnail {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    fn device(&self) -> Device {
        self.network.background.device()
    }

    fn loss(&self, targets: &[TokenGrid], condition: &Condition, train: bool) -> Result<PriorLoss, PriorError> {
        let target = self.spec.only_target(targets)?;
        let context = self.context(condition, target.batch(), train)?;
        let tokens = self.tokens(target);
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

impl Autoregressive for PixelSnail {
    fn logits(&self, target: &TokenGrid, condition: &Condition) -> Result<Tensor, PriorError> {
        self.spec.target.check(target, "the target")?;
        let context = self.context(condition, target.batch(), false)?;
        self.network.forward(&self.tokens(target), &context, false)
    }

    fn start(&self, condition: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        if batch < 1 {
            return Err(PriorError::config("batch", format!("must be at least 1, got {batch}")));
        }
        let _guard = tch::no_grad_guard();
        self.spec.check(condition, batch, self.has_null())?;
        self.check_range(condition)?;
        let context = self.context(condition, batch, false)?;
        Ok(Box::new(PixelSnailCursor::new(&self.network, self.spec.target.grid, &context, batch)))
    }
}
