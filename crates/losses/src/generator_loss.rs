//! The losses on a reconstructed image, and their gradient at it.

use tch::{Kind, Tensor, no_grad};
use vqkit_torch::{
    autocast,
    autograd::{Graph, grad},
};

use crate::{DiscriminatorObjective, LossError, Perceptual, ReconstructionLoss, adaptive_weight};

/// The losses on images: of pixels, of features, and adversarial.
///
/// The generator's loss is `L = w_rec L_rec + w_perc L_perc + λ L_adv` (VQGAN, Esser et al. 2021, eqs. 6 and 7; the
/// quantizer's terms are not part of it). [`gradient`](Self::gradient) differentiates it with respect to the reconstruction x̂ alone:
/// once through the perceptual network, once through the discriminator. λ is the ratio of the norms that those two gradients have
/// at the decoder's last layer, and their weighted sum is all that one backward pass through the decoder needs. The
/// implementation of taming-transformers runs the autoencoder forward twice a step, and the perceptual network and the
/// discriminator backward twice.
#[derive(Debug)]
pub struct GeneratorLoss {
    /// The pixel term.
    pub reconstruction: ReconstructionLoss,
    /// Its weight.
    pub reconstruction_weight: f64,
    /// The perceptual term, and its weight.
    pub perceptual: Option<(f64, Box<dyn Perceptual>)>,
    /// Number format of the computations of the perceptual network and the discriminator.
    pub kind: Kind,
}

/// The losses of one batch, and their gradient at its reconstruction.
#[derive(Debug)]
pub struct LossGradient {
    /// dL/dx̂, `[B, C, H, W]`, in the kind of the reconstruction.
    pub gradient: Tensor,
    /// The pixel term, a scalar.
    pub reconstruction: Tensor,
    /// The perceptual term, a scalar.
    pub perceptual: Option<Tensor>,
    /// The adversarial term, once adversarial training has begun.
    pub adversarial: Option<AdversarialTerm>,
}

/// The adversarial term of a reconstruction.
#[derive(Debug)]
pub struct AdversarialTerm {
    /// The discriminator's logits, with the graph that leads to its weights.
    pub logits: Tensor,
    /// The generator's term, a scalar.
    pub generator: Tensor,
    /// λ with all factors, a scalar.
    pub weight: Tensor,
}

impl GeneratorLoss {
    /// The losses of a reconstruction, and their gradient at it.
    ///
    /// The discriminator runs once: its logits keep the graph that its own training needs, so it is trained on the reconstruction
    /// before the generator's update.
    ///
    /// # Shapes
    /// Reconstruction, with its graph, and images `[B, C, H, W]` in `[-1, 1]`; `last_layer`: the weight of the decoder's
    /// last convolution, which the reconstruction depends on.
    ///
    /// # Errors
    /// When a network cannot take the images, or the reconstruction does not depend on `last_layer`.
    pub fn gradient(
        &self,
        reconstruction: &Tensor,
        images: &Tensor,
        last_layer: &Tensor,
        discriminator: Option<(&DiscriminatorObjective, u64)>,
    ) -> Result<LossGradient, LossError> {
        let leaf = reconstruction.detach().to_kind(Kind::Float).set_requires_grad(true);
        let pixels = self.reconstruction.loss(&leaf, images);
        let mut gradient = gradient_of(&pixels, &leaf, Graph::Free)? * self.reconstruction_weight;
        let mut perceptual = None;
        if let Some((weight, network)) = &self.perceptual {
            let (distance, of_distance) = self.compute(images, || {
                let real = no_grad(|| network.features(images))?;
                network.gradient_to(&leaf, &real)
            })?;
            gradient += of_distance * *weight;
            perceptual = Some(distance);
        }
        let mut gradient = gradient.to_kind(reconstruction.kind());
        let active = discriminator.filter(|(discriminator, step)| discriminator.is_active(*step));
        let adversarial = match active {
            None => None,
            Some((discriminator, step)) => {
                let logits = self.compute(images, || discriminator.logits(&leaf))?;
                let generator = discriminator.config().loss.generator(&logits);
                let of_generator = gradient_of(&generator, &leaf, Graph::Keep)?.to_kind(reconstruction.kind());
                let mut weight = pixels.full_like(discriminator.weight(step));
                if discriminator.config().adaptive {
                    let at_last_layer = |gradient: &Tensor| -> Result<Tensor, LossError> {
                        Ok(grad(&[(reconstruction, gradient)], &[last_layer], Graph::Keep)?.remove(0))
                    };
                    let (ours, theirs) = (at_last_layer(&gradient)?, at_last_layer(&of_generator)?);
                    weight *= adaptive_weight(&ours, &theirs, discriminator.config().max_adaptive_weight);
                }
                gradient += of_generator * &weight;
                Some(AdversarialTerm { logits, generator: generator.detach(), weight })
            }
        };
        Ok(LossGradient { gradient, reconstruction: pixels.detach(), perceptual, adversarial })
    }

    /// Runs a network in this loss's arithmetic.
    pub fn compute<T>(&self, images: &Tensor, work: impl FnOnce() -> Result<T, LossError>) -> Result<T, LossError> {
        autocast::with(images.device(), self.kind, work)
    }
}

/// The gradient of a scalar at `leaf`.
fn gradient_of(scalar: &Tensor, leaf: &Tensor, graph: Graph) -> Result<Tensor, LossError> {
    Ok(grad(&[(scalar, &scalar.ones_like())], &[leaf], graph)?.remove(0))
}
