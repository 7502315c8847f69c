//! Gradients with respect to chosen tensors alone, from outputs that are pulled each its own way.
//!
//! `Tensor::backward` of tch pulls one scalar and reaches every leaf. A step that plays two networks against each other asks
//! for less: the pull of a loss on a picture, and not on the weights that judged it.

use tch::Tensor;

use crate::{TorchError, shim};

/// What becomes of the graph behind the outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Graph {
    /// It is freed on the way back.
    #[default]
    Free,
    /// It stays, for another way back.
    Keep,
    /// It stays, and the gradients get one of their own: they can be differentiated.
    Create,
}

/// The gradients of `sum(output * pull)` over all outputs with respect to `inputs`, in their order; nothing else is computed,
/// and no `.grad` changes.
///
/// Each pull has the shape of its output.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::autograd::{Graph, grad};
///
/// let x = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
/// let pull = Tensor::from_slice(&[1.0f32, 10.0]);
/// let gradients = grad(&[(&x.square(), &pull)], &[&x], Graph::Free)?;
/// assert_eq!(gradients[0], Tensor::from_slice(&[2.0f32, 40.0]));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When an output does not depend on an input, a pull has another shape than its output, or the graph was freed.
pub fn grad(outputs: &[(&Tensor, &Tensor)], inputs: &[&Tensor], graph: Graph) -> Result<Vec<Tensor>, TorchError> {
    shim::grad(outputs, inputs, graph != Graph::Free, graph == Graph::Create)
}

/// Adds the gradients of `sum(output * pull)` over all outputs to the `.grad` of `inputs`, and of all leaves where `inputs` is
/// empty; frees the graph.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::autograd::backward;
///
/// let [x, y] = [2.0f32, 5.0].map(|value| Tensor::from_slice(&[value]).set_requires_grad(true));
/// let product = &x * &y;
/// backward(&[(&product, &product.ones_like())], &[&x])?;
/// assert_eq!(x.grad(), Tensor::from_slice(&[5.0f32]));
/// assert!(!y.grad().defined());
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// As [`grad`].
pub fn backward(outputs: &[(&Tensor, &Tensor)], inputs: &[&Tensor]) -> Result<(), TorchError> {
    shim::backward(outputs, inputs)
}
