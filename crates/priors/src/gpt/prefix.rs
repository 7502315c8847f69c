//! The prefix of a sequence: the condition as vectors.

use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use super::block::Linear;
use super::options::Options;
use crate::{Condition, Embedding, PriorError, PriorSpec, Text};

/// The parameters that turn each kind of condition into vectors; `None`: the table of the image tokens is shared.
#[derive(Debug)]
pub(super) struct Prefix {
    /// `[classes, D]`, with the null class behind the classes.
    pub classes: Option<Tensor>,
    pub text: Option<TextTable>,
    /// `[codes, D]` of each grid, with the null token behind the codes.
    pub grids: Vec<Option<Tensor>>,
    pub embedding: Projection,
    /// The null embedding, `[L, dim]`.
    pub null_embedding: Option<Tensor>,
}

/// Vectors of the ids of a text.
#[derive(Debug)]
pub(super) struct TextTable {
    /// `[vocabulary, D]`, with the null id behind the others.
    pub ids: Tensor,
    /// Of the positions of the text, `[P, D]`, where the sequence has no learned positions.
    pub positions: Option<Tensor>,
}

/// From the width of an embedding to the model's.
#[derive(Debug)]
pub(super) enum Projection {
    /// It has the model's width.
    None,
    Linear(Linear),
    /// `second(gelu(first(x)))`, with the tanh form of the function.
    Mlp(Linear, Linear),
}

impl Prefix {
    /// `[B, P, D]` for a complete condition.
    pub(super) fn embed(
        &self,
        condition: &Condition,
        batch: i64,
        has_class: bool,
        tokens: &Tensor,
    ) -> Result<Tensor, PriorError> {
        let mut parts = Vec::new();
        if has_class {
            let nothing = || Tensor::zeros([batch], (Kind::Int64, tokens.device()));
            let class = condition.class.as_ref().map_or_else(nothing, |class| class.to_device(tokens.device()));
            parts.push(lookup(self.classes.as_ref().unwrap_or(tokens), &class)?.f_unsqueeze(1)?);
        }
        if let (Some(table), Some(text)) = (&self.text, &condition.text) {
            let embedded = lookup(&table.ids, &text.ids.f_to_device(tokens.device())?)?;
            parts.push(
                table.positions.as_ref().map_or(Ok(embedded.shallow_clone()), |positions| embedded.f_add(positions))?,
            );
        }
        if let Some(embedding) = &condition.embedding {
            let values = embedding.values.f_to_device(tokens.device())?.f_to_kind(Kind::Float)?;
            parts.push(self.embedding.forward(&values)?);
        }
        for (table, grid) in self.grids.iter().zip(&condition.grids) {
            parts.push(lookup(table.as_ref().unwrap_or(tokens), &in_one_vocabulary(grid, tokens)?)?);
        }
        let width = tokens.size()[1];
        match parts.as_slice() {
            [] => Ok(Tensor::f_zeros([batch, 0, width], (tokens.kind(), tokens.device()))?),
            parts => Ok(Tensor::f_cat(parts, 1)?),
        }
    }

    /// The unconditional form of `condition` for `batch` rows.
    pub(super) fn null(
        &self,
        condition: &Condition,
        batch: i64,
        spec: &PriorSpec,
        options: &Options,
    ) -> Result<Condition, PriorError> {
        let mut null = condition.clone();
        if let Some(classes) = spec.num_classes {
            null.class = Some(Tensor::full([batch], classes, (Kind::Int64, self.device(condition))));
        }
        if let Some(text) = &spec.text {
            null.text = Some(null_text(text.length, text.vocabulary, batch, self.device(condition))?);
        }
        if let Some(values) = &self.null_embedding {
            let mask = condition.embedding.as_ref().and_then(|embedding| embedding.mask.as_ref());
            let values = values.f_unsqueeze(0)?.f_repeat([batch, 1, 1])?;
            null.embedding = Some(Embedding { values, mask: mask.map(Tensor::shallow_clone) });
        }
        if options.drops_grids(spec) {
            let null_grid = |grid: &TokenGrid| TokenGrid {
                indices: grid.indices.full_like(grid.sizes.iter().sum::<i64>()),
                sizes: grid.sizes.clone(),
            };
            null.grids = condition.grids.iter().map(null_grid).collect();
        }
        Ok(null)
    }

    fn device(&self, condition: &Condition) -> tch::Device {
        condition.class.as_ref().map_or(tch::Device::Cpu, Tensor::device)
    }
}

/// A text of the null id alone, at the last position.
fn null_text(length: i64, vocabulary: i64, batch: i64, device: tch::Device) -> Result<Text, PriorError> {
    let mask = Tensor::f_zeros([batch, length], (Kind::Bool, device))?;
    let _ = mask.narrow(1, length - 1, 1).fill_(1);
    Ok(Text { ids: Tensor::f_full([batch, length], vocabulary, (Kind::Int64, device))?, mask })
}

impl Projection {
    fn forward(&self, values: &Tensor) -> Result<Tensor, PriorError> {
        match self {
            Self::None => Ok(values.shallow_clone()),
            Self::Linear(linear) => linear.forward(values),
            Self::Mlp(first, second) => second.forward(&first.forward(values)?.f_gelu("tanh")?),
        }
    }
}

/// Rows of `table` `[V, D]` at `indices`, `[.., D]`.
pub(super) fn lookup(table: &Tensor, indices: &Tensor) -> Result<Tensor, PriorError> {
    Ok(Tensor::f_embedding(table, indices, -1, false, false)?)
}

/// The indices of a grid `[B, Q, H, W]` in raster order, `[B, H · W · Q]`, those of the second codebook behind those of
/// the first, and so on. The null token is the last of all, in every codebook.
fn in_one_vocabulary(grid: &TokenGrid, like: &Tensor) -> Result<Tensor, PriorError> {
    let flat = grid.indices.f_to_device(like.device())?.f_flatten(2, -1)?;
    let all: i64 = grid.sizes.iter().sum();
    let shifted = flat.f_add(&offsets(&grid.sizes).to_device(like.device()).unsqueeze(-1))?;
    let moved = shifted.f_where_self(&flat.f_ne(all)?, &flat)?;
    Ok(moved.f_transpose(1, 2)?.f_flatten(1, 2)?)
}

/// Where each codebook begins in a vocabulary of all, `[Q]`.
pub(super) fn offsets(sizes: &[i64]) -> Tensor {
    let starts = sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end - size)
    });
    Tensor::from_slice(&starts.collect::<Vec<i64>>())
}
