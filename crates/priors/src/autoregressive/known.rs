//! Known tokens in the order in which a cursor visits positions.

use tch::{Device, Tensor};

use crate::{GridSpec, KnownTokens, PriorError};

/// Known tokens and their mask, `[positions, B]`, and on the host whether a position is known in some and in all rows.
#[derive(Debug)]
pub(super) struct KnownSequence {
    tokens: Tensor,
    mask: Tensor,
    some: Vec<bool>,
    all: Vec<bool>,
}

/// The known tokens `[B]` of one position.
#[derive(Debug)]
pub(super) struct KnownStep {
    pub tokens: Tensor,
    /// The rows in which they are known, `[B]`, bool; none: all of them.
    pub mask: Option<Tensor>,
}

impl KnownSequence {
    /// Of a grid as `grid` says, for `batch` rows; `order` holds raster positions in the order of the cursor, if that is another.
    pub(super) fn new(
        known: &KnownTokens,
        grid: &GridSpec,
        order: Option<&[i64]>,
        batch: i64,
    ) -> Result<Self, PriorError> {
        let grid_of_tokens = known.tokens();
        grid.check(grid_of_tokens, "the grid of known tokens")?;
        if grid_of_tokens.batch() != batch {
            return Err(PriorError::shape("known tokens", format!("of {batch} rows"), &grid_of_tokens.indices));
        }
        let ordered = |tensor: &Tensor| {
            let raster = tensor.flatten(2, 3).permute([2, 1, 0]);
            let ordered = match order {
                Some(order) => raster.index_select(0, &Tensor::from_slice(order).to_device(tensor.device())),
                None => raster,
            };
            ordered.contiguous().view([-1, batch])
        };
        let mask = ordered(&known.mask().unsqueeze(1).expand_as(&grid_of_tokens.indices));
        Ok(Self {
            some: Vec::try_from(mask.any_dim(1, false).to_device(Device::Cpu))?,
            all: Vec::try_from(mask.all_dim(1, false).to_device(Device::Cpu))?,
            tokens: ordered(&grid_of_tokens.indices),
            mask,
        })
    }

    /// The rows `rows` of the batch, on `device`.
    pub(super) fn rows(self, rows: &Tensor, device: Device) -> Self {
        let pick = |tensor: &Tensor| tensor.index_select(1, &rows.to_device(tensor.device())).to_device(device);
        Self { tokens: pick(&self.tokens), mask: pick(&self.mask), ..self }
    }

    /// The known tokens of `position`, if there are any.
    pub(super) fn at(&self, position: i64) -> Option<KnownStep> {
        let index = position as usize;
        let mask = || (!self.all[index]).then(|| self.mask.get(position));
        self.some[index].then(|| KnownStep { tokens: self.tokens.get(position), mask: mask() })
    }
}
