//! Linear maps into the space of the codes and back, for quantizers whose codes are not as wide as the latents.

use tch::Tensor;
use tch::nn::{self, Init};

/// `project_in` and `project_out`, or nothing where both widths are the same, as in vector-quantize-pytorch.
#[derive(Debug)]
pub(crate) struct Projection {
    dim: i64,
    maps: Option<[Affine; 2]>,
}

impl Projection {
    /// Between latents of width `dim` and codes of width `code_dim`.
    pub fn new(vs: &nn::Path, dim: i64, code_dim: i64) -> Self {
        let maps =
            || [Affine::new(&(vs / "project_in"), dim, code_dim), Affine::new(&(vs / "project_out"), code_dim, dim)];
        Self { dim, maps: (dim != code_dim).then(maps) }
    }

    /// Width of the latents.
    pub fn dim(&self) -> i64 {
        self.dim
    }

    /// Latents `[.., D]` to the codes' space; with a gradient to the map where `train`.
    pub fn enter(&self, latents: &Tensor, train: bool) -> Tensor {
        self.maps.as_ref().map_or_else(|| latents.shallow_clone(), |[enter, _]| enter.apply(latents, train))
    }

    /// Codes `[.., D']` to the latents' space; with a gradient to the map where `train`.
    pub fn leave(&self, codes: &Tensor, train: bool) -> Tensor {
        self.maps.as_ref().map_or_else(|| codes.shallow_clone(), |[_, leave]| leave.apply(codes, train))
    }
}

/// `x Wᵀ + b`, initialized as PyTorch does for a linear layer.
#[derive(Debug)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(vs: &nn::Path, from: i64, to: i64) -> Self {
        let bound = 1.0 / (from as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        Self { weight: vs.var("weight", &[to, from], uniform), bias: vs.var("bias", &[to], uniform) }
    }

    /// `[.., D]` to `[.., D']`, row by row in one way whatever the shape, so that values come out the same.
    fn apply(&self, x: &Tensor, train: bool) -> Tensor {
        let mut shape = x.size();
        let rows = x.reshape([-1, self.weight.size()[1]]);
        let mapped = rows.linear(&kept_still(&self.weight, !train), Some(kept_still(&self.bias, !train)));
        if let Some(width) = shape.last_mut() {
            *width = self.weight.size()[0];
        }
        mapped.view(shape.as_slice())
    }
}

/// A variable, out of reach of gradients where `still`.
pub(crate) fn kept_still(variable: &Tensor, still: bool) -> Tensor {
    if still { variable.detach() } else { variable.shallow_clone() }
}
