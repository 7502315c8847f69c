//! Clipping of gradients by their global norm.

use tch::Tensor;

use crate::{TorchError, shim};

/// Scales the gradients of `parameters` by `min(1, max_norm / (norm + 1e-6))`, where `norm` is the 2-norm of them all
/// together, and returns that norm from before, `[]`, on their device.
///
/// As `torch.nn.utils.clip_grad_norm_`, except that a norm of NaN leaves the gradients as they are: it does not spread, and
/// the tensor where it arose can still be found. It never waits for the device: read the returned norm only where you log it.
/// An infinite `max_norm` only measures. Parameters without a gradient are passed over; all gradients have to lie on one
/// device.
///
/// ```
/// use tch::{Device, Kind, Tensor};
///
/// let weight = Tensor::zeros([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// (&weight * Tensor::from_slice(&[3.0_f32, 4.0])).sum(Kind::Float).backward();
/// let norm = vqkit_torch::optim::clip_grad_norm(&[weight.shallow_clone()], 1.0)?;
/// assert_eq!(norm.double_value(&[]), 5.0);
/// assert!((weight.grad().norm().double_value(&[]) - 1.0).abs() < 1e-5);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// [`TorchError::Config`] when `max_norm` is not positive; when libtorch refuses.
pub fn clip_grad_norm(parameters: &[Tensor], max_norm: f64) -> Result<Tensor, TorchError> {
    if max_norm.is_nan() || max_norm <= 0.0 {
        return Err(TorchError::config("max_norm", format!("must be positive, found {max_norm}")));
    }
    shim::clip_gradients(&parameters.iter().collect::<Vec<_>>(), max_norm)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn parameter() -> Tensor {
        Tensor::zeros([3], (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    #[test]
    fn without_a_gradient_the_norm_is_zero() {
        assert_eq!(clip_grad_norm(&[parameter()], 1.0).unwrap().double_value(&[]), 0.0);
    }

    #[test]
    fn an_infinite_limit_only_measures() {
        let weight = parameter();
        (&weight * 2.0).sum(Kind::Float).backward();
        let norm = clip_grad_norm(&[parameter(), weight.shallow_clone()], f64::INFINITY).unwrap();
        assert!((norm.double_value(&[]) - 12.0_f64.sqrt()).abs() < 1e-6);
        assert_eq!(weight.grad(), Tensor::from_slice(&[2.0_f32; 3]));
    }

    #[test]
    fn a_gradient_of_nan_does_not_spread() {
        for limit in [1.0, f64::INFINITY] {
            let [broken, sound] = [f64::NAN, 3.0].map(|slope| {
                let weight = parameter();
                (&weight * slope).sum(Kind::Float).backward();
                weight
            });
            let norm = clip_grad_norm(&[sound.shallow_clone(), broken.shallow_clone()], limit).unwrap();
            assert!(norm.double_value(&[]).is_nan());
            assert_eq!(sound.grad(), Tensor::from_slice(&[3.0_f32; 3]));
            assert_eq!(broken.grad().isnan().all().int64_value(&[]), 1);
        }
    }

    #[test]
    fn a_limit_that_is_not_positive_is_refused() {
        for limit in [0.0, -1.0, f64::NAN] {
            let message = clip_grad_norm(&[parameter()], limit).unwrap_err().to_string();
            assert_eq!(message, format!("`max_norm`: must be positive, found {limit}"));
        }
    }
}
