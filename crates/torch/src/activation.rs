//! Activations whose parameters `tch` does not pass on.

use tch::Tensor;

use crate::{TorchError, shim};

/// The leaky ReLU: `x` where it is positive, else `slope · x` (Maas et al. 2013). `tch` has it with a slope of 0.01 alone.
///
/// ```
/// use tch::Tensor;
/// use vqkit_torch::leaky_relu;
///
/// let x = Tensor::from_slice(&[-1.0f32, 2.0]);
/// assert_eq!(leaky_relu(&x, 0.5)?, Tensor::from_slice(&[-0.5f32, 2.0]));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When libtorch refuses.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor, TorchError> {
    shim::leaky_relu(x, slope)
}
