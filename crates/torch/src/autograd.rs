//! Gradients with respect to chosen tensors, from chosen gradients at several outputs; and functions with a backward pass of
//! one's own.
//!
//! `Tensor::backward` of tch starts at one scalar and reaches every leaf. Adversarial training needs less: the gradient of a loss
//! at an image, and not at the weights of the network that computed the loss.

use tch::Tensor;

use crate::TorchError;
use crate::shim::{self, BackwardPass};

/// What a backward pass of one's own returns: one gradient for each input, `None` where there is none.
pub type Gradients = Vec<Option<Tensor>>;

/// What becomes of the graph behind the outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Graph {
    /// It is freed in the backward pass.
    #[default]
    Free,
    /// It stays, for another backward pass.
    Keep,
    /// It stays, and the gradients get one of their own: they can be differentiated.
    Create,
}

/// The gradients of `sum(output * gradient)` over all pairs in `outputs` with respect to `inputs`, in their order; nothing else is computed,
/// and no `.grad` changes.
///
/// The second of each pair is the gradient at the first, and has its shape.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::autograd::{Graph, grad};
///
/// let x = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
/// let at_output = Tensor::from_slice(&[1.0f32, 10.0]);
/// let gradients = grad(&[(&x.square(), &at_output)], &[&x], Graph::Free)?;
/// assert_eq!(gradients[0], Tensor::from_slice(&[2.0f32, 40.0]));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When an output does not depend on an input, a gradient has another shape than its output, or the graph was freed.
pub fn grad(outputs: &[(&Tensor, &Tensor)], inputs: &[&Tensor], graph: Graph) -> Result<Vec<Tensor>, TorchError> {
    let pass =
        BackwardPass { keep_graph: graph != Graph::Free, create_graph: graph == Graph::Create, allow_unused: false };
    Ok(shim::grad(outputs, inputs, &pass)?.into_iter().flatten().collect())
}

/// Adds the gradients of `sum(output * gradient)` over all pairs in `outputs` to the `.grad` of `inputs`, and of all leaves where `inputs` is
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

/// `outputs`, as functions of `inputs` whose gradients `backward` computes from those at the outputs: a custom autograd function.
///
/// The outputs are values without a graph of their own; integers among them stay constants. `backward` gets one gradient for
/// each output, `None` where there is none, and gives one for each input, of its shape. It runs without a graph, so its gradients cannot be differentiated again; it may be called
/// from another thread, and must not hold on to the outputs that this returns. Where no gradient would flow, the outputs come
/// back as they are and `backward` is dropped.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::autograd::custom_function;
///
/// let x = Tensor::from_slice(&[1.4f32, -0.6]).set_requires_grad(true);
/// let rounded = tch::no_grad(|| x.round());
/// let outputs = custom_function(&[&x], vec![rounded], |gradients| Ok(vec![gradients[0].as_ref().map(Tensor::shallow_clone)]))?;
/// outputs[0].sum(Kind::Float).backward();
/// assert_eq!(x.grad(), Tensor::from_slice(&[1.0f32, 1.0]));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When libtorch refuses. An error of `backward` fails the backward pass through these outputs.
pub fn custom_function(
    inputs: &[&Tensor],
    outputs: Vec<Tensor>,
    backward: impl Fn(&[Option<Tensor>]) -> Result<Gradients, TorchError> + Send + 'static,
) -> Result<Vec<Tensor>, TorchError> {
    let outputs: Vec<Tensor> = outputs.iter().map(Tensor::detach).collect();
    if shim::takes_gradient(inputs) {
        let backward = move |gradients: &[Option<Tensor>]| tch::no_grad(|| backward(gradients));
        shim::custom_function(inputs, &outputs, Box::new(backward))?;
    }
    Ok(outputs)
}

/// Runs `work` on the inputs without a graph, and once more, with one, in the backward pass: memory for time
/// (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
///
/// `work` must give the same outputs for the same inputs.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_torch::autograd::checkpoint;
///
/// let x = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
/// let outputs = checkpoint(&[&x], |inputs| Ok(vec![inputs[0].exp().square()]))?;
/// outputs[0].sum(Kind::Float).backward();
/// assert!(x.grad().allclose(&((&x * 2.0).exp() * 2.0), 1e-6, 1e-6, false));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// Those of `work`, and when libtorch refuses.
pub fn checkpoint(
    inputs: &[&Tensor],
    work: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, TorchError> + Send + 'static,
) -> Result<Vec<Tensor>, TorchError> {
    if !shim::takes_gradient(inputs) {
        return work(&inputs.iter().map(|input| input.shallow_clone()).collect::<Vec<_>>());
    }
    let takes: Vec<bool> = inputs.iter().map(|input| input.requires_grad()).collect();
    let held: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let outputs = tch::no_grad(|| work(&held))?;
    custom_function(inputs, outputs, move |gradients| {
        let leaf = |(value, &takes): (&Tensor, &bool)| value.detach().set_requires_grad(takes);
        let leaves: Vec<Tensor> = held.iter().zip(&takes).map(leaf).collect();
        let outputs = tch::with_grad(|| work(&leaves))?;
        let used = outputs.iter().zip(gradients).filter_map(|(output, gradient)| Some((output, gradient.as_ref()?)));
        let used: Vec<_> = used.filter(|(output, _)| output.requires_grad()).collect();
        let wanted: Vec<&Tensor> = leaves.iter().filter(|leaf| leaf.requires_grad()).collect();
        let pass = BackwardPass { allow_unused: true, ..BackwardPass::default() };
        let mut gradients = shim::grad(&used, &wanted, &pass)?.into_iter();
        Ok(takes.iter().map(|takes| if *takes { gradients.next().flatten() } else { None }).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LibtorchError;
    use tch::Kind;
    use vqkit_testing::Draws;

    /// Other numbers for every size.
    fn random(shape: &[i64]) -> Tensor {
        Draws::new(shape.iter().product::<i64>() as u64).randn(shape).set_requires_grad(true)
    }

    /// Two outputs and an integer one, of two inputs.
    fn work(inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let product = inputs[0].matmul(&inputs[1]);
        Ok(vec![product.softmax(-1, Kind::Float), product.argmax(-1, false), product.square().sum(Kind::Float)])
    }

    #[test]
    fn a_checkpoint_gives_the_values_and_gradients_of_the_plain_computation() {
        let (a, b) = (random(&[3, 4]), random(&[4, 5]));
        let gradients = |outputs: Vec<Tensor>| {
            let at_outputs = [outputs[0].cos().detach(), outputs[2].full_like(0.3)];
            grad(&[(&outputs[0], &at_outputs[0]), (&outputs[2], &at_outputs[1])], &[&a, &b], Graph::Free).unwrap()
        };
        let inputs = [a.shallow_clone(), b.shallow_clone()];
        let (plain, kept) = (work(&inputs).unwrap(), checkpoint(&[&a, &b], work).unwrap());
        assert_eq!(plain, kept);
        assert!(!kept[1].requires_grad());
        for (plain, kept) in gradients(plain).iter().zip(gradients(kept)) {
            assert!(plain.allclose(&kept, 1e-6, 1e-6, false));
        }
    }

    #[test]
    fn an_output_without_gradient_and_an_input_without_gradient_are_passed_over() {
        let (a, b) = (random(&[3, 4]), random(&[4, 5]).detach());
        let outputs = checkpoint(&[&a, &b], work).unwrap();
        outputs[2].backward();
        assert!(a.grad().defined() && !b.grad().defined());
    }

    #[test]
    fn an_input_that_only_another_output_depends_on_gets_nothing() {
        let (a, b) = (random(&[3]), random(&[3]));
        let outputs = checkpoint(&[&a, &b], |inputs| Ok(vec![inputs[0].square(), inputs[1].square()])).unwrap();
        outputs[0].sum(Kind::Float).backward();
        assert!(a.grad().defined() && !b.grad().defined());
    }

    #[test]
    fn without_a_graph_nothing_is_kept() {
        let a = random(&[3, 4]);
        let outputs = tch::no_grad(|| custom_function(&[&a], vec![a.square()], |_| unreachable!())).unwrap();
        assert!(!outputs[0].requires_grad());
    }

    #[test]
    fn errors_and_panics_of_a_backward_pass_fail_the_backward_pass() {
        let x = random(&[2]);
        let fail = |_: &[Option<Tensor>]| Err(LibtorchError::new("no gradient").into());
        let panic = |_: &[Option<Tensor>]| panic!("no gradient");
        let few = |_: &[Option<Tensor>]| Ok(vec![]);
        let error = |backward: shim::Backward| {
            let outputs = custom_function(&[&x], vec![Tensor::ones_like(&x)], backward).unwrap();
            grad(&[(&outputs[0], &x.ones_like())], &[&x], Graph::Free).unwrap_err().to_string()
        };
        assert!(error(Box::new(fail)).contains("no gradient"));
        assert!(error(Box::new(panic)).contains("panicked"));
        assert!(error(Box::new(few)).contains("0 gradients were made for 1 inputs"));
    }

    #[test]
    fn a_backward_pass_is_dropped_once_whatever_became_of_it() {
        for fails in [false, true] {
            let x = random(&[2]);
            let held = std::sync::Arc::new(());
            let context = held.clone();
            let backward = move |gradients: &[Option<Tensor>]| {
                let _held = &context;
                match fails {
                    true => Err(LibtorchError::new("no gradient").into()),
                    false => Ok(vec![gradients[0].as_ref().map(Tensor::shallow_clone)]),
                }
            };
            let outputs = custom_function(&[&x], vec![Tensor::ones_like(&x)], backward).unwrap();
            assert_eq!(std::sync::Arc::strong_count(&held), 2);
            assert_eq!(grad(&[(&outputs[0], &x.ones_like())], &[&x], Graph::Keep).is_err(), fails);
            drop(outputs);
            assert_eq!(std::sync::Arc::strong_count(&held), 1);
        }
    }

    #[test]
    fn a_graph_that_was_freed_says_so() {
        let x = random(&[2]);
        let outputs = custom_function(&[&x], vec![Tensor::ones_like(&x)], |gradients| {
            Ok(vec![gradients[0].as_ref().map(Tensor::shallow_clone)])
        });
        let outputs = outputs.unwrap();
        let again = |graph| grad(&[(&outputs[0], &x.ones_like())], &[&x], graph);
        assert!(again(Graph::Keep).is_ok() && again(Graph::Free).is_ok());
        assert!(again(Graph::Free).unwrap_err().to_string().contains("freed"));
    }
}
