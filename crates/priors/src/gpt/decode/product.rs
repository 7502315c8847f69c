//! The product of a few rows with a matrix of weights.

use tch::{Device, Kind, Tensor};

use super::own_copy;
use crate::kernels::{Into, PackedLinear, numbers, numbers_mut};
use crate::{PriorError, SamplingWeights};

/// `input · weightᵀ + bias` in f32.
#[derive(Debug)]
pub(super) enum Product {
    /// By our kernel, on the CPU.
    Packed { linear: PackedLinear, outputs: i64 },
    /// By libtorch: `weight` `[in, out]`, in f32 or bf16.
    Dense { weight: Tensor, bias: Option<Tensor> },
}

impl Product {
    /// `weight` `[out, in]`, `bias` `[out]`.
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, weights: SamplingWeights) -> Result<Self, PriorError> {
        if weight.device() == Device::Cpu {
            let outputs = weight.size()[0];
            return Ok(Self::Packed { linear: PackedLinear::new(weight, bias, weights)?, outputs });
        }
        let kind = if weights == SamplingWeights::Fp32 { Kind::Float } else { Kind::BFloat16 };
        let weight = weight.detach().f_to_kind(kind)?.f_transpose(0, 1)?.f_contiguous()?;
        let bias = bias.map(own_copy);
        Ok(Self::Dense { weight, bias })
    }

    /// `input` `[.., in]` to `[.., out]`.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, PriorError> {
        match self {
            Self::Packed { linear, outputs } => {
                let mut shape = input.size();
                shape.pop();
                shape.push(*outputs);
                let input = input.f_contiguous()?;
                let output = Tensor::f_empty(&shape, (Kind::Float, Device::Cpu))?;
                // SAFETY: made just now.
                linear.forward(numbers(&input), unsafe { numbers_mut(&output) }, Into::Store);
                Ok(output)
            }
            Self::Dense { weight, bias } => dense(input, weight, bias.as_ref()),
        }
    }

    /// Adds the product to `sum` `[.., out]`, which is contiguous.
    pub(super) fn add_to(&self, input: &Tensor, sum: &Tensor) -> Result<(), PriorError> {
        match self {
            Self::Packed { linear, .. } => {
                let input = input.f_contiguous()?;
                // SAFETY: a cursor's own, of which the input is no part.
                linear.forward(numbers(&input), unsafe { numbers_mut(sum) }, Into::Add);
            }
            Self::Dense { weight, bias } => {
                let _ = sum.shallow_clone().f_add_(&dense(input, weight, bias.as_ref())?)?;
            }
        }
        Ok(())
    }
}

fn dense(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, PriorError> {
    let product = input.f_to_kind(weight.kind())?.f_matmul(weight)?.f_to_kind(Kind::Float)?;
    match bias {
        Some(bias) => Ok(product.f_add(bias)?),
        None => Ok(product),
    }
}
