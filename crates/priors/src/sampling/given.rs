//! Tokens that are not drawn: the part of a picture that is to be completed.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::{PriorError, PriorSpec};

/// Tokens that [`sample`](crate::sample) writes instead of drawing them.
///
/// ```
/// use tch::{Kind, Tensor};
/// use vqkit_priors::Given;
/// use vqkit_torch::TokenGrid;
///
/// let tokens = TokenGrid::new(Tensor::zeros([2, 1, 8, 8], (Kind::Int64, tch::Device::Cpu)), vec![512])?;
/// let top_half = Tensor::arange(8, (Kind::Int64, tch::Device::Cpu)).lt(4).view([8, 1]).expand([2, 8, 8], false);
/// let given = Given::new(tokens, top_half)?;
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
#[derive(Debug)]
pub struct Given {
    tokens: TokenGrid,
    mask: Tensor,
}

impl Given {
    /// `tokens` `[B, Q, H, W]` at the positions where `mask` `[B, H, W]`, bool, is true.
    ///
    /// # Errors
    /// [`PriorError::Shape`] when the mask does not fit the tokens, [`PriorError::Tokens`] for an index outside its
    /// codebook.
    pub fn new(tokens: TokenGrid, mask: Tensor) -> Result<Self, PriorError> {
        let mut shape = vec![tokens.batch()];
        shape.extend(tokens.spatial());
        if mask.kind() != Kind::Bool || mask.size() != shape {
            return Err(PriorError::shape("the mask of given tokens", format!("Bool {shape:?}"), &mask));
        }
        tokens.check_range()?;
        Ok(Self { tokens, mask })
    }

    /// The tokens in the order in which a cursor visits them.
    pub(super) fn in_order(&self, spec: &PriorSpec, batch: i64, device: Device) -> Result<InOrder, PriorError> {
        spec.target().check(&self.tokens, "the grid of given tokens")?;
        if self.tokens.batch() != batch {
            return Err(PriorError::shape("given tokens", format!("of {batch} rows"), &self.tokens.indices));
        }
        let ordered = |tensor: &Tensor| tensor.permute([2, 3, 1, 0]).contiguous().view([-1, batch]);
        let mask = ordered(&self.mask.unsqueeze(1).expand_as(&self.tokens.indices));
        Ok(InOrder {
            some: Vec::try_from(mask.any_dim(1, false).to_device(Device::Cpu))?,
            all: Vec::try_from(mask.all_dim(1, false).to_device(Device::Cpu))?,
            tokens: ordered(&self.tokens.indices).to_device(device),
            mask: mask.to_device(device),
        })
    }
}

/// Given tokens and their mask, `[positions, B]`, and on the host whether a position is given in some and in all rows.
#[derive(Debug)]
pub(super) struct InOrder {
    tokens: Tensor,
    mask: Tensor,
    some: Vec<bool>,
    all: Vec<bool>,
}

impl InOrder {
    /// The tokens `[B]` of a position; `draw` is called only where a row needs it.
    pub(super) fn force(
        &self,
        position: i64,
        draw: impl FnOnce() -> Result<Tensor, PriorError>,
    ) -> Result<Tensor, PriorError> {
        let given = self.tokens.get(position);
        match (self.all[position as usize], self.some[position as usize]) {
            (true, _) => Ok(given),
            (false, true) => Ok(given.where_self(&self.mask.get(position), &draw()?)),
            (false, false) => draw(),
        }
    }
}
