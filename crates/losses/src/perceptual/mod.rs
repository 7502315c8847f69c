//! Perceptual distances: distances between images in the features of a network.

mod distance;
mod features;
mod lpips;
mod state;
mod vgg16;

use std::fmt;

use tch::{Kind, Tensor};
use vqkit_torch::autograd::{Graph, grad};

pub use features::Features;
pub use lpips::Lpips;
pub use state::lpips_state;
pub use vgg16::Vgg16;

use crate::LossError;
use distance::{layer_distances, layer_gradients};

/// A network whose feature maps measure how similar two images look: the sum over its maps of weighted squared
/// differences, with each position scaled to length 1 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
/// Features as a Perceptual Metric", eq. 1).
///
/// A backbone defines its maps and the weights of their channels; the distance is the same for all. Its weights take no
/// gradient, so that maps of images that need none have no graph: compute those of the real images once, and measure
/// against them with [`distance_to`](Self::distance_to).
pub trait Perceptual: fmt::Debug + Send {
    /// The feature maps of images.
    ///
    /// # Shapes
    /// `[B, C, H, W]` in `[-1, 1]`.
    ///
    /// # Errors
    /// [`LossError::Shape`] and [`LossError::Size`] for images that the network cannot take.
    fn features(&self, images: &Tensor) -> Result<Features, LossError>;

    /// Weights of the channels of every map: `[1, C, 1, 1]` each, in fp32 and not negative.
    fn weights(&self) -> &[Tensor];

    /// Makes passes under autocast of `kind` faster, once the weights are loaded; they are not to change afterwards. May do nothing.
    fn prepare(&mut self, _kind: Kind) {}

    /// The distance of each image to that with features `reference`, map by map: `[B, maps]` in fp32.
    ///
    /// # Shapes
    /// Images `[B, C, H, W]` in `[-1, 1]`, of the size of the others.
    ///
    /// # Errors
    /// Those of [`features`](Self::features), and [`LossError::Shape`] for features of images of another shape.
    fn per_layer_to(&self, images: &Tensor, reference: &Features) -> Result<Tensor, LossError> {
        layer_distances(&self.features(images)?, reference, self.weights())
    }

    /// The distance of each image to that with features `reference`: `[B]` in fp32. As
    /// [`per_layer_to`](Self::per_layer_to), whose sum it is.
    ///
    /// # Errors
    /// Those of [`per_layer_to`](Self::per_layer_to).
    fn distance_to(&self, images: &Tensor, reference: &Features) -> Result<Tensor, LossError> {
        Ok(self.per_layer_to(images, reference)?.sum_dim_intlist([1i64].as_slice(), false, None))
    }

    /// The mean distance of `images` to those with features `reference`, a scalar, and its gradient at `images`, `[B, C, H, W]`
    /// in fp32: what [`distance_to`](Self::distance_to) and a pass back give, with less memory moved.
    ///
    /// # Errors
    /// Those of [`distance_to`](Self::distance_to).
    fn gradient_to(&self, images: &Tensor, reference: &Features) -> Result<(Tensor, Tensor), LossError> {
        let leaf = images.detach().to_kind(Kind::Float).set_requires_grad(true);
        let features = self.features(&leaf)?;
        let (distance, gradients) = layer_gradients(&features, reference, self.weights())?;
        let outputs: Vec<_> = features.maps().iter().zip(&gradients).collect();
        Ok((distance, grad(&outputs, &[&leaf], Graph::Free)?.remove(0)))
    }

    /// The distance of each pair of images, map by map: `[B, maps]` in fp32.
    ///
    /// # Errors
    /// Those of [`per_layer_to`](Self::per_layer_to).
    fn per_layer(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, LossError> {
        self.per_layer_to(a, &self.features(b)?)
    }

    /// The distance of each pair of images: `[B]` in fp32.
    ///
    /// # Errors
    /// Those of [`per_layer_to`](Self::per_layer_to).
    fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, LossError> {
        self.distance_to(a, &self.features(b)?)
    }
}
