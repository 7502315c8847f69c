//! Gradient estimates for the choice of a code, which has no gradient of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_torch::autograd::custom_function;

use crate::QuantizeError;
use crate::metric::LEAST_NORM;

/// Estimates of the gradient with respect to the latents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GradientEstimate {
    /// The gradient of the codes, unchanged ([`straight_through`]).
    #[default]
    StraightThrough,
    /// The gradient of the codes, rotated and scaled as the code is relative to the latent ([`rotation_trick`]).
    Rotation,
}

impl GradientEstimate {
    /// Codes `[N, D]` with a gradient to the latents `[N, D]`.
    pub(crate) fn apply(self, codes: &Tensor, latents: &Tensor) -> Result<Tensor, QuantizeError> {
        match self {
            Self::StraightThrough => straight_through(codes, latents),
            Self::Rotation => rotation_trick(codes, latents),
        }
    }
}

/// The value of `codes`, exactly, with the gradient of `latents` (Bengio et al. 2013; van den Oord et al. 2017, section 3.2).
///
/// Both have the same shape; nothing flows to `codes`.
///
/// # Errors
/// When libtorch refuses.
///
/// ```
/// use tch::Tensor;
///
/// let latents = Tensor::from_slice(&[0.4f32, 1.7]).set_requires_grad(true);
/// let codes = Tensor::from_slice(&[0.0f32, 2.0]);
/// let out = vqkit_quantizer::straight_through(&codes, &latents)?;
/// assert_eq!(out, codes);
/// out.sum(tch::Kind::Float).backward();
/// assert_eq!(latents.grad(), Tensor::from_slice(&[1.0f32, 1.0]));
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
pub fn straight_through(codes: &Tensor, latents: &Tensor) -> Result<Tensor, QuantizeError> {
    with_gradient(codes, latents, |gradient| gradient.shallow_clone())
}

/// The value of `codes`, exactly, with the gradient of the latents rotated and scaled by constants (Fifty et al. 2024,
/// section 4.2).
///
/// Both are `[N, D]`; nothing flows to `codes`. With `u` and `q` the directions of latent and code and `w` that of `u + q`,
/// the code is `(||e|| / ||z||) (z - 2 w wᵀz + 2 q uᵀz)` of the latent `z`; everything but the last factors `z` counts as
/// constant. A gradient `g` so becomes, with `t = (uᵀg + qᵀg) / (1 + uᵀq)`,
///
/// ```text
/// (||e|| / ||z||) (g + (2 qᵀg - t) u - t q)
/// ```
///
/// # Errors
/// When libtorch refuses.
pub fn rotation_trick(codes: &Tensor, latents: &Tensor) -> Result<Tensor, QuantizeError> {
    let (code, latent) = (codes.detach(), latents.detach());
    with_gradient(codes, latents, move |gradient| {
        let (code_norm, latent_norm) = (norm(&code), norm(&latent));
        let along_latent = dot(&latent, gradient) / &latent_norm;
        let along_code = dot(&code, gradient) / &code_norm;
        let cosine = dot(&latent, &code) / (&latent_norm * &code_norm);
        let t = (along_latent + &along_code) / (cosine + 1.0).clamp_min(LEAST_NORM);
        let scale = &code_norm / &latent_norm;
        let of_latent = (along_code * 2.0 - &t) * &scale / latent_norm;
        let of_code = t * -&scale / code_norm;
        (gradient * scale).addcmul_(&latent, &of_latent).addcmul_(&code, &of_code)
    })
}

/// The value of `codes`, and `backward` of the gradient at it as that of `latents`; `codes` get none.
pub(crate) fn with_gradient(
    codes: &Tensor,
    latents: &Tensor,
    backward: impl Fn(&Tensor) -> Tensor + Send + 'static,
) -> Result<Tensor, QuantizeError> {
    let output = custom_function(&[latents], vec![codes.detach()], move |gradients| {
        Ok(vec![gradients[0].as_ref().map(&backward)])
    });
    Ok(output?.remove(0))
}

/// Lengths `[N, 1]`, kept off zero.
fn norm(rows: &Tensor) -> Tensor {
    dot(rows, rows).sqrt().clamp_min(LEAST_NORM)
}

/// Products of rows `[N, 1]`.
fn dot(a: &Tensor, b: &Tensor) -> Tensor {
    (a * b).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::Draws;

    #[test]
    fn both_estimates_keep_the_value_and_reach_only_the_latents() {
        let draws = Draws::new(3);
        let random = || draws.randn(&[40, 6]).set_requires_grad(true);
        for estimate in [GradientEstimate::StraightThrough, GradientEstimate::Rotation] {
            let (codes, latents) = (random(), random());
            let out = estimate.apply(&codes, &latents).unwrap();
            assert_eq!(out, codes.detach(), "{estimate:?}");
            out.square().sum(Kind::Float).backward();
            assert!(latents.grad().defined() && !codes.grad().defined(), "{estimate:?}");
        }
    }

    #[test]
    fn rotation_turns_the_gradient_as_it_turns_the_latent() {
        // The latent e1 becomes 2 e2; the transposed map takes a gradient along e2 to 2 e1 and one along e1 to -2 e2.
        let latents = Tensor::from_slice2(&[[1.0f32, 0.0], [1.0, 0.0]]).set_requires_grad(true);
        let codes = Tensor::from_slice2(&[[0.0f32, 2.0], [0.0, 2.0]]);
        let probe = Tensor::from_slice2(&[[0.0f32, 1.0], [1.0, 0.0]]);
        (rotation_trick(&codes, &latents).unwrap() * probe).sum(Kind::Float).backward();
        let want = Tensor::from_slice2(&[[2.0f32, 0.0], [0.0, -2.0]]);
        assert!(latents.grad().allclose(&want, 1e-5, 1e-6, false), "{}", latents.grad());
    }

    #[test]
    fn a_latent_of_zero_gives_a_finite_gradient() {
        let latents = Tensor::zeros([1, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        rotation_trick(&Tensor::from_slice2(&[[1.0f32, 2.0, 3.0]]), &latents).unwrap().sum(Kind::Float).backward();
        assert!(bool::try_from(latents.grad().isfinite().all()).unwrap());
    }
}
