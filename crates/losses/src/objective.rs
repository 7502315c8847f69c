//! What a tokenizer's decoder is trained for, taken as one pull on the reconstructed image.

use tch::{Kind, Tensor, no_grad};
use vqkit_torch::{
    autocast,
    autograd::{Graph, grad},
};

use crate::{Adversary, LossError, Perceptual, Reconstruction, adaptive_weight};

/// The losses on images: pixels, features, and a discriminator's opinion.
///
/// The generator's loss is `L = w_rec L_rec + w_perc L_perc + λ L_adv` (VQGAN, Esser et al. 2021, eqs. 6 and 7; the
/// quantizer's terms are not seen here). [`pull`](Self::pull) differentiates it with respect to the reconstruction x̂ alone:
/// once through the perceptual network, once through the discriminator. λ compares what those two gradients do to the
/// decoder's last layer, and their weighted sum is all that the decoder needs to be trained, in one pass back. The plain way,
/// taming's, runs the autoencoder twice per step, and the perceptual network and the discriminator twice back.
#[derive(Debug)]
pub struct Objective {
    /// The pixel term.
    pub reconstruction: Reconstruction,
    /// Its weight.
    pub reconstruction_weight: f64,
    /// The perceptual term, and its weight.
    pub perceptual: Option<(f64, Box<dyn Perceptual>)>,
    /// Arithmetic of the perceptual network and the discriminator.
    pub kind: Kind,
}

/// The losses of one batch, and what they do to its reconstruction.
#[derive(Debug)]
pub struct Pull {
    /// dL/dx̂, `[B, C, H, W]`, in the kind of the reconstruction.
    pub gradient: Tensor,
    /// The pixel term, a scalar.
    pub reconstruction: Tensor,
    /// The perceptual term, a scalar.
    pub perceptual: Option<Tensor>,
    /// What the discriminator made of the reconstruction, once the game has begun.
    pub fakes: Option<Fakes>,
}

/// The discriminator's opinion of a reconstruction.
#[derive(Debug)]
pub struct Fakes {
    /// Logits, with the graph that leads to the discriminator's weights.
    pub logits: Tensor,
    /// The generator's term, a scalar.
    pub generator: Tensor,
    /// λ with all factors, a scalar.
    pub weight: Tensor,
}

impl Objective {
    /// The losses of a reconstruction, and their gradient at it.
    ///
    /// The adversary is asked once: its opinion has the graph that its own training needs, so the discriminator learns from
    /// the reconstruction before the generator's update.
    ///
    /// # Shapes
    /// Reconstruction, with its graph, and images `[B, C, H, W]` in `[-1, 1]`; `last_layer`: the weight of the decoder's
    /// last convolution, which the reconstruction depends on.
    ///
    /// # Errors
    /// When a network cannot take the images, or the reconstruction does not depend on `last_layer`.
    pub fn pull(
        &self,
        reconstruction: &Tensor,
        images: &Tensor,
        last_layer: &Tensor,
        adversary: Option<(&Adversary, u64)>,
    ) -> Result<Pull, LossError> {
        let leaf = reconstruction.detach().to_kind(Kind::Float).set_requires_grad(true);
        let pixels = self.reconstruction.loss(&leaf, images);
        let mut gradient = slope(&pixels, &leaf, Graph::Free)? * self.reconstruction_weight;
        let mut perceptual = None;
        if let Some((weight, network)) = &self.perceptual {
            let (distance, of_distance) = self.compute(images, || {
                let real = no_grad(|| network.features(images))?;
                network.slope_to(&leaf, &real)
            })?;
            gradient += of_distance * *weight;
            perceptual = Some(distance);
        }
        let mut gradient = gradient.to_kind(reconstruction.kind());
        let playing = adversary.filter(|(adversary, step)| adversary.plays(*step));
        let fakes = match playing {
            None => None,
            Some((adversary, step)) => {
                let logits = self.compute(images, || adversary.judge(&leaf))?;
                let generator = adversary.config().loss.generator(&logits);
                let of_generator = slope(&generator, &leaf, Graph::Keep)?.to_kind(reconstruction.kind());
                let mut weight = pixels.full_like(adversary.weight(step));
                if adversary.config().adaptive {
                    let at_last_layer = |pull: &Tensor| -> Result<Tensor, LossError> {
                        Ok(grad(&[(reconstruction, pull)], &[last_layer], Graph::Keep)?.remove(0))
                    };
                    let (ours, theirs) = (at_last_layer(&gradient)?, at_last_layer(&of_generator)?);
                    weight *= adaptive_weight(&ours, &theirs, adversary.config().max_adaptive_weight);
                }
                gradient += of_generator * &weight;
                Some(Fakes { logits, generator: generator.detach(), weight })
            }
        };
        Ok(Pull { gradient, reconstruction: pixels.detach(), perceptual, fakes })
    }

    /// Runs a network in this objective's arithmetic.
    pub fn compute<T>(&self, images: &Tensor, work: impl FnOnce() -> Result<T, LossError>) -> Result<T, LossError> {
        autocast::with(images.device(), self.kind, work)
    }
}

/// The gradient of a scalar at `leaf`.
fn slope(scalar: &Tensor, leaf: &Tensor, graph: Graph) -> Result<Tensor, LossError> {
    Ok(grad(&[(scalar, &scalar.ones_like())], &[leaf], graph)?.remove(0))
}
