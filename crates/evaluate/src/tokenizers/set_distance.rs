//! The distance between images and reconstructions as sets, in the features of one network.

use serde::Serialize;
use tch::Tensor;
use vqkit_fidelity::{Extractor, FeatureAccumulator, Features, Frechet, Protocol, Statistics};
use vqkit_recipe::InputSpec;
use vqkit_run::Context;

use crate::{error::Result, tokenizers::request::TokenizerRequest, tokenizers::subject::Reading};

/// The Fréchet distance between the reconstructions and the images of one tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetDistance {
    /// The name of the metric: `fid` (the rFID) with Inception's features, `fd_vgg_cifar10` with the built-in ones.
    pub metric: String,
    /// The network.
    pub features: Features,
    /// How images were prepared for the network.
    pub protocol: Protocol,
    /// Number of images on either side.
    pub images: usize,
    /// The distance.
    pub distance: f64,
    /// Estimate of how much too large it is, where there are fewer than 10,000 images.
    pub bias_to_expect: Option<f64>,
}

/// The network that compares sets, and what it saw of the images themselves.
pub struct SetComparer {
    /// The network.
    pub extractor: Extractor,
    /// How images are prepared for it.
    pub protocol: Protocol,
    /// Statistics of images, by how they were read: tokenizers that get the same pixels share them.
    originals: Vec<(Reading, Statistics)>,
}

/// Features of one tokenizer's images and reconstructions.
pub struct FeaturePair {
    reconstructions: FeatureAccumulator,
    /// `None` where the statistics of these images are known already.
    originals: Option<FeatureAccumulator>,
}

impl SetComparer {
    /// The network of a request; `None` where its weights are neither given nor downloaded before.
    ///
    /// # Errors
    /// When the weights are not those of the network, or the protocol is not one of it.
    pub fn of(request: &TokenizerRequest, context: &Context) -> Result<Option<Self>> {
        let protocol = Protocol::resolve(request.protocol, request.features)?;
        let extractor = Extractor::at_hand(request.features, request.weights.as_deref(), context)?;
        Ok(extractor.map(|extractor| Self { extractor, protocol, originals: Vec::new() }))
    }

    /// Whether the network takes images of this shape: colour images that are large enough.
    pub fn takes(&self, shape: InputSpec) -> bool {
        self.extractor.takes(shape)
    }

    /// Empty accumulators for `total` images.
    pub fn begin(&self, reading: &Reading, total: usize) -> FeaturePair {
        let nothing = || FeatureAccumulator::new(self.extractor.width(), total);
        FeaturePair { reconstructions: nothing(), originals: self.known(reading).is_none().then(nothing) }
    }

    /// Adds a batch, `[B, 3, H, W]` in `[-1, 1]` each.
    ///
    /// # Errors
    /// When the network cannot take the images.
    pub fn add(&self, pair: &mut FeaturePair, reconstructions: &Tensor, images: &Tensor) -> Result<()> {
        pair.reconstructions.add(&self.extractor, &self.protocol.prepare(reconstructions)?)?;
        if let Some(originals) = &mut pair.originals {
            originals.add(&self.extractor, &self.protocol.prepare(images)?)?;
        }
        Ok(())
    }

    /// The distance; `None` for fewer than two images, which have no covariance.
    ///
    /// # Errors
    /// When the features are not finite.
    pub fn finish(&mut self, pair: &FeaturePair, reading: &Reading) -> Result<Option<SetDistance>> {
        let images = pair.reconstructions.count();
        if images < 2 {
            return Ok(None);
        }
        if let Some(originals) = &pair.originals {
            self.originals.push((*reading, originals.finish(None)));
        }
        let Some(originals) = self.known(reading) else { return Ok(None) };
        let Frechet { distance, bias_to_expect } = Frechet::between(originals, &pair.reconstructions.finish(None))?;
        let features = self.extractor.kind();
        let metric = features.metric_name("frechet_distance");
        Ok(Some(SetDistance { metric, features, protocol: self.protocol, images, distance, bias_to_expect }))
    }

    fn known(&self, reading: &Reading) -> Option<&Statistics> {
        self.originals.iter().find(|(known, _)| known == reading).map(|(_, statistics)| statistics)
    }
}
