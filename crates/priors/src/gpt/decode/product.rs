//! The product of a few rows with a matrix of weights.

use tch::{Device, Kind, Tensor};

use crate::kernels::{OutputRow, PackedLinear, numbers, numbers_mut};
use crate::{PriorError, WeightDtype};

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
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, dtype: WeightDtype) -> Result<Self, PriorError> {
        if weight.device() == Device::Cpu {
            let outputs = weight.size()[0];
            return Ok(Self::Packed { linear: PackedLinear::new(weight, bias, dtype)?, outputs });
        }
        let kind = if dtype == WeightDtype::Fp32 { Kind::Float } else { Kind::BFloat16 };
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
                // SAFETY: allocated above, so nothing else refers to it.
                linear.forward(numbers(&input), unsafe { numbers_mut(&output) }, OutputRow::Store);
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
                // SAFETY: memory of the cursor, which does not overlap the input.
                linear.forward(numbers(&input), unsafe { numbers_mut(sum) }, OutputRow::Add);
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

/// In f32, in memory of its own.
pub(super) fn own_copy(weight: &Tensor) -> Tensor {
    weight.detach().to_kind(Kind::Float).copy()
}
