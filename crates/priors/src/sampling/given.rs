//! Tokens that are not drawn: the part of a picture that is to be completed.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::{GridSpec, PriorError};

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

    /// The tokens in the order in which they are drawn; `places` are the raster places of that order, if it is another.
    pub(super) fn in_order(&self, grid: &GridSpec, places: Option<&[i64]>, batch: i64) -> Result<InOrder, PriorError> {
        grid.check(&self.tokens, "the grid of given tokens")?;
        if self.tokens.batch() != batch {
            return Err(PriorError::shape("given tokens", format!("of {batch} rows"), &self.tokens.indices));
        }
        let ordered = |tensor: &Tensor| {
            let by_place = tensor.flatten(2, 3).permute([2, 1, 0]);
            let by_place = match places {
                Some(places) => by_place.index_select(0, &Tensor::from_slice(places).to_device(tensor.device())),
                None => by_place,
            };
            by_place.contiguous().view([-1, batch])
        };
        let mask = ordered(&self.mask.unsqueeze(1).expand_as(&self.tokens.indices));
        Ok(InOrder {
            some: Vec::try_from(mask.any_dim(1, false).to_device(Device::Cpu))?,
            all: Vec::try_from(mask.all_dim(1, false).to_device(Device::Cpu))?,
            tokens: ordered(&self.tokens.indices),
            mask,
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

/// The given tokens `[B]` of one position.
#[derive(Debug)]
pub(super) struct At {
    pub tokens: Tensor,
    /// The rows in which they are given, `[B]`, bool; none: all of them.
    pub mask: Option<Tensor>,
}

impl InOrder {
    /// The rows `rows` of the batch, on `device`.
    pub(super) fn rows(self, rows: &Tensor, device: Device) -> Self {
        let pick = |tensor: &Tensor| tensor.index_select(1, &rows.to_device(tensor.device())).to_device(device);
        Self { tokens: pick(&self.tokens), mask: pick(&self.mask), ..self }
    }

    /// What is given at `position`, if anything.
    pub(super) fn at(&self, position: i64) -> Option<At> {
        let index = position as usize;
        let mask = || (!self.all[index]).then(|| self.mask.get(position));
        self.some[index].then(|| At { tokens: self.tokens.get(position), mask: mask() })
    }
}
