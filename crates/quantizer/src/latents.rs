//! Latents and masks are checked here once, and laid out as rows.

use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::QuantizeError;

/// Latents `[B, D, *S]` as rows `[N, D]`, f32, with their gradient.
pub(crate) struct FlatLatents {
    pub points: Tensor,
    shape: Vec<i64>,
}

impl FlatLatents {
    pub fn of(latents: &Tensor, dim: i64) -> Result<Self, QuantizeError> {
        let shape = latents.size();
        if shape.len() < 3 {
            return Err(QuantizeError::Shape { what: "latents", want: format!("[B, {dim}, *S]"), got: shape });
        }
        if shape[1] != dim {
            return Err(QuantizeError::Channels { want: dim, got: shape[1] });
        }
        let points = latents.f_movedim_int(1, -1)?.f_to_kind(Kind::Float)?.f_reshape([-1, dim])?;
        Ok(Self { points, shape })
    }

    /// The same positions with other points `[N, D']`.
    pub fn map(self, change: impl FnOnce(&Tensor) -> Tensor) -> Self {
        Self { points: change(&self.points), shape: self.shape }
    }

    /// FlatLatents `[N, D']` of any width to `[B, D', *S]`.
    pub fn restore(&self, rows: &Tensor) -> Tensor {
        let mut shape = vec![self.shape[0]];
        shape.extend(&self.shape[2..]);
        shape.push(rows.size()[1]);
        rows.view(shape.as_slice()).movedim_int(-1, 1)
    }

    /// Indices `[N]` to `[B, 1, *S]`.
    pub fn restore_indices(&self, indices: &Tensor) -> Tensor {
        let mut shape = self.shape.clone();
        shape[1] = 1;
        indices.view(shape.as_slice())
    }

    /// The indices `[N]` that one codebook gave these positions.
    pub fn indices(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        let indices = &grid.indices;
        if indices.numel() as i64 == self.points.size()[0] {
            return Ok(indices.f_reshape([-1])?);
        }
        let want = format!("{} indices, one for each latent", self.points.size()[0]);
        Err(QuantizeError::Shape { what: "grid", want, got: indices.size() })
    }

    /// A mask `[B, *S]` as weights `[N]`, 1 for the positions that count.
    pub fn weights(&self, mask: Option<&Tensor>) -> Result<Option<Tensor>, QuantizeError> {
        let Some(mask) = mask else { return Ok(None) };
        let mut want = vec![self.shape[0]];
        want.extend(&self.shape[2..]);
        if mask.kind() != Kind::Bool || mask.size() != want {
            let want = format!("{want:?} and kind Bool (it has kind {:?})", mask.kind());
            return Err(QuantizeError::Shape { what: "mask", want, got: mask.size() });
        }
        Ok(Some(mask.f_to_device(self.points.device())?.f_to_kind(Kind::Float)?.f_reshape([-1])?))
    }
}

/// Mean of squared differences of rows `[N, D]`, over the rows of weight 1 alone.
pub(crate) fn mean_squared_error(a: &Tensor, b: &Tensor, weights: Option<&Tensor>) -> Tensor {
    match weights {
        None => a.mse_loss(b, tch::Reduction::Mean),
        Some(weights) => {
            let per_row = (a - b).square().mean_dim(-1, false, Kind::Float);
            (per_row * weights).sum(Kind::Float) / weights.sum(Kind::Float).clamp_min(1.0)
        }
    }
}
