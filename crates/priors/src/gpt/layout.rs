//! The layout of a sequence: `[class | text | embedding | condition grids | tokens]`.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use super::order::TokenOrder;
use crate::{Condition, GridSpec, PriorError, PriorSpec};

/// The positions of a sequence.
#[derive(Debug)]
pub(super) struct Layout {
    /// Whether the first position is the class, or the start where there is nothing else.
    pub has_class: bool,
    /// Positions of a text.
    pub text: i64,
    /// Positions of an embedding.
    pub embedding: i64,
    /// Positions of each condition grid.
    pub grids: Vec<i64>,
    /// Codebooks of the target.
    pub codebooks: i64,
    /// Raster positions in the order of the sequence, `[H · W]`.
    pub order: Vec<i64>,
}

impl Layout {
    pub(super) fn new(spec: &PriorSpec, order: TokenOrder) -> Result<Self, PriorError> {
        let embedding = spec.embedding.as_ref().map_or(0, |embedding| embedding.length);
        let nothing = !spec.has_condition();
        Ok(Self {
            has_class: spec.num_classes.is_some() || nothing,
            text: spec.text.as_ref().map_or(0, |text| text.length),
            embedding,
            grids: spec.condition_grids.iter().map(GridSpec::tokens).collect(),
            codebooks: spec.target.sizes.len() as i64,
            order: order.raster_positions(spec.target.grid)?,
        })
    }

    /// Positions in front of the text.
    pub(super) fn before_text(&self) -> i64 {
        i64::from(self.has_class)
    }

    /// The mask of the first `length` positions, bool `[B, length]`: false for the padding of a text and of an embedding. None where
    /// there is no padding.
    pub(super) fn padding_mask(
        &self,
        condition: &Condition,
        length: i64,
        device: Device,
    ) -> Result<Option<Tensor>, PriorError> {
        let text = condition.text.as_ref().map(|text| (self.before_text(), &text.mask));
        let embedding = condition.embedding.as_ref().and_then(|embedding| embedding.mask.as_ref());
        let embedding = embedding.map(|mask| (self.before_text() + self.text, mask));
        let masks: Vec<(i64, &Tensor)> = text.into_iter().chain(embedding).collect();
        let Some((_, some)) = masks.first() else { return Ok(None) };
        let all = Tensor::f_ones([some.size()[0], length], (Kind::Bool, device))?;
        for (first, mask) in masks {
            all.f_narrow(1, first, mask.size()[1])?.f_copy_(&mask.f_to_device(device)?)?;
        }
        Ok(Some(all))
    }

    /// Positions in front of the first token.
    pub(super) fn prefix(&self) -> i64 {
        self.before_text() + self.text + self.embedding + self.grids.iter().sum::<i64>()
    }

    /// Tokens of a target.
    pub(super) fn tokens(&self) -> i64 {
        self.order.len() as i64 * self.codebooks
    }

    /// Positions that the transformer reads: the last token predicts nothing.
    pub(super) fn length(&self) -> i64 {
        self.prefix() + self.tokens() - 1
    }

    /// The tokens `[B, Q, H, W]` of a grid in the order of the sequence, `[B, tokens]`.
    pub(super) fn sequence(&self, grid: &TokenGrid, device: Device) -> Result<Tensor, PriorError> {
        let flat = grid.indices.f_to_device(device)?.f_flatten(2, -1)?;
        Ok(flat.f_index_select(2, &self.index(device))?.f_transpose(1, 2)?.f_flatten(1, 2)?)
    }

    /// Numbers `[B, H · W, K]` of the sequence as `[B, K, H · W]` of the raster.
    pub(super) fn raster(&self, numbers: &Tensor) -> Result<Tensor, PriorError> {
        let inverse = self.index(numbers.device()).f_argsort(0, false)?;
        Ok(numbers.f_index_select(1, &inverse)?.f_transpose(1, 2)?)
    }

    /// Raster positions in the order of the sequence, `[H · W]`.
    pub(super) fn index(&self, device: Device) -> Tensor {
        Tensor::from_slice(&self.order).to_device(device)
    }

    /// Row and column of every position of the sequence, `None` for what lies on no grid. A condition grid is stretched
    /// over the target, so that tokens of the same part of the image have the same row and column.
    pub(super) fn positions(&self, spec: &PriorSpec) -> Vec<Option<[f64; 2]>> {
        let stretched = |grid: &GridSpec| {
            let scale = [0, 1].map(|axis| spec.target.grid[axis] as f64 / grid.grid[axis] as f64);
            let [height, width] = grid.grid;
            let books = grid.sizes.len();
            let cells = (0..height * width).flat_map(move |cell| std::iter::repeat_n(cell, books));
            let centre = move |cell: i64, scale: f64| (cell as f64 + 0.5) * scale - 0.5;
            let at = move |cell: i64| Some([centre(cell / width, scale[0]), centre(cell % width, scale[1])]);
            cells.map(at).collect::<Vec<_>>()
        };
        let width = spec.target.grid[1];
        let nowhere = self.before_text() + self.text + self.embedding;
        let tokens = self.order.iter().flat_map(|cell| std::iter::repeat_n(*cell, self.codebooks as usize));
        (0..nowhere)
            .map(|_| None)
            .chain(spec.condition_grids.iter().flat_map(stretched))
            .chain(tokens.map(|cell| Some([(cell / width) as f64, (cell % width) as f64])))
            .collect()
    }

    /// The attention mask of `length` positions, bool `[S, S]`: true for earlier positions and the position itself, and among the first
    /// `unmasked` positions.
    pub(super) fn causal(length: i64, unmasked: i64, device: Device) -> Tensor {
        let mask = Tensor::ones([length, length], (Kind::Bool, device)).tril(0);
        let first = unmasked.min(length);
        let _ = mask.narrow(0, 0, first).narrow(1, 0, first).fill_(1);
        mask
    }
}
