//! The condition of a prior: class, text, embedding, and grids of tokens.

use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::PriorError;

/// The conditions of a batch; kinds combine. Which ones a prior takes, its [`PriorSpec`](crate::PriorSpec) says.
///
/// A condition owns its tensors and can be moved into another thread; a clone is a second handle on the same memory.
///
/// ```
/// use tch::Tensor;
/// use vqkit_priors::Condition;
///
/// let condition = Condition::none().with_class(Tensor::from_slice(&[3i64, 7]));
/// assert!(condition.class.is_some() && condition.grids.is_empty());
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Condition {
    /// Labels `[B]`, i64, `0 <= class < num_classes`; `num_classes` itself is the null class where the prior has one.
    pub class: Option<Tensor>,
    /// A text, as token ids.
    pub text: Option<Text>,
    /// Vectors that another network gave, such as a text encoder.
    pub embedding: Option<Embedding>,
    /// Aligned grids of tokens, coarse first.
    pub grids: Vec<TokenGrid>,
}

/// A text for each row of a batch, padded in front.
#[derive(Debug)]
pub struct Text {
    /// `[B, P]`, i64, `0 <= id < vocabulary`; `vocabulary` itself is the null id where the prior has one.
    pub ids: Tensor,
    /// `[B, P]`, bool: false for padding, which is masked. The last column is true in every row.
    pub mask: Tensor,
}

/// A second handle on the same memory.
impl Clone for Text {
    fn clone(&self) -> Self {
        Self { ids: self.ids.shallow_clone(), mask: self.mask.shallow_clone() }
    }
}

/// A sequence of vectors for each row of a batch.
#[derive(Debug)]
pub struct Embedding {
    /// `[B, L, dim]`, f32.
    pub values: Tensor,
    /// `[B, L]`, bool: false for padding, which is masked; none: there is no padding. The last column is true in every row: embeddings
    /// are padded in front, as LlamaGen's are.
    pub mask: Option<Tensor>,
}

/// A second handle on the same memory.
impl Clone for Embedding {
    fn clone(&self) -> Self {
        Self { values: self.values.shallow_clone(), mask: self.mask.as_ref().map(Tensor::shallow_clone) }
    }
}

/// A second handle on the same memory.
impl Clone for Condition {
    fn clone(&self) -> Self {
        Self {
            class: self.class.as_ref().map(Tensor::shallow_clone),
            text: self.text.clone(),
            embedding: self.embedding.clone(),
            grids: self.grids.iter().map(TokenGrid::shallow_clone).collect(),
        }
    }
}

impl Condition {
    /// No condition.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds class labels `[B]`, i64.
    pub fn with_class(self, class: Tensor) -> Self {
        Self { class: Some(class), ..self }
    }

    /// Adds texts: ids `[B, P]`, i64, and their mask `[B, P]`, bool, false for padding.
    pub fn with_text(self, ids: Tensor, mask: Tensor) -> Self {
        Self { text: Some(Text { ids, mask }), ..self }
    }

    /// Adds vectors that another network gave.
    pub fn with_embedding(self, embedding: Embedding) -> Self {
        Self { embedding: Some(embedding), ..self }
    }

    /// Adds a grid of tokens.
    pub fn with_grid(mut self, grid: TokenGrid) -> Self {
        self.grids.push(grid);
        self
    }

    /// The rows `rows` `[R]`, i64, of every part.
    pub(crate) fn rows(&self, rows: &Tensor) -> Self {
        let pick = |tensor: &Tensor| tensor.index_select(0, &rows.to_device(tensor.device()));
        let pick_grid = |grid: &TokenGrid| TokenGrid { indices: pick(&grid.indices), sizes: grid.sizes.clone() };
        let pick_embedding = |embedding: &Embedding| Embedding {
            values: pick(&embedding.values),
            mask: embedding.mask.as_ref().map(pick),
        };
        let pick_text = |text: &Text| Text { ids: pick(&text.ids), mask: pick(&text.mask) };
        Self {
            class: self.class.as_ref().map(pick),
            text: self.text.as_ref().map(pick_text),
            embedding: self.embedding.as_ref().map(pick_embedding),
            grids: self.grids.iter().map(pick_grid).collect(),
        }
    }

    /// The rows of `self`, but those of `other`, which must be of the same kinds, where `from_other` `[B]`, bool, says so.
    pub(crate) fn where_not(&self, from_other: &Tensor, other: &Self) -> Result<Self, PriorError> {
        let choose = |own: &Tensor, other: &Tensor| -> Result<Tensor, PriorError> {
            let mut shape = vec![1; own.dim()];
            shape[0] = from_other.size()[0];
            let own = own.f_to_device(from_other.device())?;
            Ok(other.f_to_device(from_other.device())?.f_where_self(&from_other.f_view(shape.as_slice())?, &own)?)
        };
        let class = self.class.as_ref().zip(other.class.as_ref()).map(|(own, other)| choose(own, other)).transpose()?;
        let text = self.text.as_ref().zip(other.text.as_ref()).map(|(own, other)| {
            Ok::<_, PriorError>(Text { ids: choose(&own.ids, &other.ids)?, mask: choose(&own.mask, &other.mask)? })
        });
        let embedding = self.embedding.as_ref().zip(other.embedding.as_ref());
        let embedding = embedding.map(|(own, other)| {
            let values = choose(&own.values, &other.values)?;
            Ok::<_, PriorError>(Embedding { values, mask: own.mask.as_ref().map(Tensor::shallow_clone) })
        });
        let grids = self.grids.iter().zip(&other.grids).map(|(own, other)| {
            Ok::<_, PriorError>(TokenGrid { indices: choose(&own.indices, &other.indices)?, sizes: own.sizes.clone() })
        });
        let (text, embedding) = (text.transpose()?, embedding.transpose()?);
        Ok(Self { class, text, embedding, grids: grids.collect::<Result<_, _>>()? })
    }

    /// As [`where_not`](Self::where_not), with rows of their own for the class, the text, the embedding and the grids.
    pub(crate) fn where_not_each(
        &self,
        mut from_other: impl FnMut() -> Tensor,
        other: &Self,
    ) -> Result<Self, PriorError> {
        let class = |of: &Self| Self { class: of.clone().class, ..Self::none() };
        let text = |of: &Self| Self { text: of.clone().text, ..Self::none() };
        let embedding = |of: &Self| Self { embedding: of.clone().embedding, ..Self::none() };
        let grids = |of: &Self| Self { grids: of.clone().grids, ..Self::none() };
        Ok(Self {
            class: class(self).where_not(&from_other(), &class(other))?.class,
            text: text(self).where_not(&from_other(), &text(other))?.text,
            embedding: embedding(self).where_not(&from_other(), &embedding(other))?.embedding,
            grids: grids(self).where_not(&from_other(), &grids(other))?.grids,
        })
    }

    /// `self` with the class, text and embedding of `other` where it has none.
    pub(crate) fn or(self, other: &Self) -> Self {
        let Self { class, text, embedding, grids } = self;
        let other = other.clone();
        Self {
            class: class.or(other.class),
            text: text.or(other.text),
            embedding: embedding.or(other.embedding),
            grids,
        }
    }

    /// The rows of `self`, then those of `other`, which must be of the same kinds.
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let pair = |first: &Tensor, second: &Tensor| Tensor::cat(&[first, &second.to_device(first.device())], 0);
        let class = self.class.as_ref().zip(other.class.as_ref()).map(|(first, second)| pair(first, second));
        let grids = self.grids.iter().zip(&other.grids);
        let grids = grids.map(|(first, second)| TokenGrid {
            indices: pair(&first.indices, &second.indices),
            sizes: first.sizes.clone(),
        });
        let text = self.text.as_ref().zip(other.text.as_ref());
        let text = text
            .map(|(first, second)| Text { ids: pair(&first.ids, &second.ids), mask: pair(&first.mask, &second.mask) });
        let embedding = self.embedding.as_ref().zip(other.embedding.as_ref()).map(|(first, second)| Embedding {
            values: pair(&first.values, &second.values),
            mask: first.mask.as_ref().zip(second.mask.as_ref()).map(|(first, second)| pair(first, second)),
        });
        Self { class, text, embedding, grids: grids.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_taken_from_the_other_by_a_choice_of_its_own() {
        let of = |value: i64| {
            let ids = Tensor::full([2, 3], value, (tch::Kind::Int64, tch::Device::Cpu));
            let mask = ids.ge(0);
            Condition::none().with_class(Tensor::from_slice(&[value, value])).with_text(ids, mask)
        };
        let mut choices = [[true, false], [false, true]].into_iter().cycle();
        let choose = || Tensor::from_slice(&choices.next().unwrap_or_default());
        let mixed = of(1).where_not_each(choose, &of(2)).unwrap();
        assert_eq!(Vec::<i64>::try_from(mixed.class.unwrap()).unwrap(), [2, 1]);
        let firsts = mixed.text.unwrap().ids.select(1, 0);
        assert_eq!(Vec::<i64>::try_from(firsts).unwrap(), [1, 2]);
        assert!(mixed.grids.is_empty() && mixed.embedding.is_none());
    }
}
