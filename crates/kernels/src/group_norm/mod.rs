//! Group normalisation, with its activation, in the layout of the convolutions.

mod applied;
mod backward;
mod forward;
mod lines;
mod sizes;
#[cfg(test)]
mod tests;

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_torch::autograd::custom_function;

use crate::number::{Bf16, Number};
use applied::{Apply, Nothing, Silu};
use backward::backward;
use forward::forward;
use lines::Affine;
use sizes::Sizes;

/// What is applied to the normalised values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `z · sigmoid(z)`, also called swish.
    Silu,
}

/// The form of a group normalisation.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm {
    /// Groups of neighbouring channels; divide their number.
    pub groups: i64,
    /// Added to the variance.
    pub eps: f64,
    /// What follows.
    pub activation: Activation,
}

/// `activation(weight · (x - mean) / √(variance + eps) + bias)`, with mean and biased variance of every group of channels of
/// every image (Wu & He 2018, "Group Normalization").
///
/// On the CPU, f32 and bfloat16 are read and written with the channels of a position side by side, and the backward pass computes the
/// activation anew, so that only `x` is kept; gradients cannot be differentiated again. Elsewhere these are libtorch's operations.
///
/// # Shapes
/// `x`: `[B, C, H, W]`; weight and bias: `[C]`, f32. The result has the shape and the kind of `x`.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_kernels::{Activation, GroupNorm, group_norm};
///
/// let x = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let form = GroupNorm { groups: 4, eps: 1e-6, activation: Activation::Silu };
/// let theirs = x.group_norm(4, None::<&Tensor>, None::<&Tensor>, 1e-6, true).silu();
/// assert!(group_norm(&x, form, None, None).allclose(&theirs, 1e-5, 1e-5, false));
/// ```
///
/// # Panics
/// Where libtorch's operations do: for other shapes, and where memory runs out.
pub fn group_norm(x: &Tensor, form: GroupNorm, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Tensor {
    let is_f32 = |tensor: Option<&Tensor>| tensor.is_none_or(|tensor| tensor.kind() == Kind::Float);
    let fits = x.device() == Device::Cpu && x.dim() == 4 && x.numel() > 0 && is_f32(weight) && is_f32(bias);
    match (x.kind(), form.activation) {
        (Kind::Float, Activation::None) if fits => normalise::<f32, Nothing>(x, form, weight, bias),
        (Kind::Float, Activation::Silu) if fits => normalise::<f32, Silu>(x, form, weight, bias),
        (Kind::BFloat16, Activation::None) if fits => normalise::<Bf16, Nothing>(x, form, weight, bias),
        (Kind::BFloat16, Activation::Silu) if fits => normalise::<Bf16, Silu>(x, form, weight, bias),
        (_, Activation::None) => x.group_norm(form.groups, weight, bias, form.eps, true),
        (_, Activation::Silu) => x.group_norm(form.groups, weight, bias, form.eps, true).silu(),
    }
}

/// As [`group_norm`]; `T` is the kind of `x`, `A` the activation.
fn normalise<T: Number, A: Apply>(
    x: &Tensor,
    form: GroupNorm,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Tensor {
    let rows = by_position(&x.detach());
    let sizes = Sizes::of(&rows, form.groups);
    let affine = Affine::of(&sizes, weight, bias);
    let result = rows.empty_like();
    let moments = forward::<T, A>(&rows, &sizes, &affine, form.eps, &result);
    let (has_weight, has_bias) = (weight.is_some(), bias.is_some());
    let backward = move |gradients: &[Option<Tensor>]| {
        let Some(gradient) = &gradients[0] else {
            return Ok((0..1 + usize::from(has_weight) + usize::from(has_bias)).map(|_| None).collect());
        };
        let (of_rows, gradient) = (rows.empty_like(), by_position(&gradient.to_kind(rows.kind())));
        let (of_weight, of_bias) = backward::<T, A>([&rows, &gradient], &sizes, &affine, &moments, &of_rows);
        let of_weight = has_weight.then(|| Tensor::from_slice(&of_weight));
        let of_bias = has_bias.then(|| Tensor::from_slice(&of_bias));
        Ok([Some(by_channel(&of_rows)), of_weight, of_bias].into_iter().filter(Option::is_some).collect())
    };
    let inputs: Vec<&Tensor> = [Some(x), weight, bias].into_iter().flatten().collect();
    let made = custom_function(&inputs, vec![by_channel(&result)], backward);
    made.expect("libtorch makes a node of the graph").remove(0)
}

/// `[B, C, H, W]` as contiguous `[B, H, W, C]`; in the layout of the convolutions it is that already.
fn by_position(x: &Tensor) -> Tensor {
    no_grad(|| x.permute([0, 2, 3, 1]).contiguous())
}

fn by_channel(rows: &Tensor) -> Tensor {
    no_grad(|| rows.permute([0, 3, 1, 2]))
}
