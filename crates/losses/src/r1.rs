//! R1: a penalty on the gradient of a discriminator at real images.

use tch::{Kind, Tensor};
use vqkit_torch::autocast;

use crate::LossError;

/// `E ||∇ D(x)||² / 2`, where D(x) is the sum of an image's logits: a scalar to be weighted by γ (Mescheder et al. 2018,
/// "Which Training Methods for GANs do actually Converge?", eq. 9).
///
/// The penalty can be differentiated with respect to the discriminator's variables; nothing is added to their gradients
/// here. Autocast is off on the images' device meanwhile. With batch normalisation, images depend on each other: the
/// gradient is then that of the whole batch's sum, as is common.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_losses::r1;
///
/// let images = Tensor::zeros([2, 3, 8, 8], (Kind::Float, Device::Cpu));
/// // The slope of 0.5 Σ x is 0.5 at each of 192 elements.
/// let penalty = r1(|images| Ok(images * 0.5), &images)?;
/// assert_eq!(penalty.double_value(&[]), 0.5 * 192.0 * 0.25);
/// # Ok::<(), vqkit_losses::LossError>(())
/// ```
///
/// # Shapes
/// Images `[B, C, H, W]`; `discriminator` makes logits of any shape of them.
///
/// # Errors
/// Those of `discriminator`, and libtorch's where its logits do not depend on the images or no graph is recorded.
pub fn r1(
    discriminator: impl FnOnce(&Tensor) -> Result<Tensor, LossError>,
    images: &Tensor,
) -> Result<Tensor, LossError> {
    let images = images.detach().to_kind(Kind::Float).set_requires_grad(true);
    autocast::disabled(images.device(), || {
        let total = discriminator(&images)?.f_sum(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[&total], &[&images], true, true)?;
        let squares = gradients.iter().map(|gradient| gradient.f_square()?.f_sum(Kind::Float));
        let penalty = squares.sum::<Result<Tensor, _>>()?;
        Ok(penalty * (0.5 / images.size().first().copied().unwrap_or(1).max(1) as f64))
    })
}
