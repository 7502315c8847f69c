//! A transformer over a sequence of conditions and tokens: what training, likelihoods and cursors have in common.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use super::block::Pass;
use super::checkpoint;
use super::layout::Layout;
use super::network::Network;
use super::options::{ConditionDropoutMode, Options};
use super::prefix::{lookup, offsets};
use crate::classes::Classes;
use crate::{Condition, PriorError, PriorSpec};

/// The parameters of a prior, and the layout of its sequences.
#[derive(Debug)]
pub(super) struct Transformer {
    pub spec: PriorSpec,
    pub layout: Layout,
    pub options: Options,
    pub network: Network,
    /// Of every position, `[S, 1, dim / 2]`, complex.
    pub rotation: Option<Tensor>,
}

impl Transformer {
    /// `rotation`: cosine and sine of every position, `[S, dim / 2, 2]`.
    pub(super) fn new(
        network: Network,
        rotation: Option<Tensor>,
        options: Options,
        layout: Layout,
        spec: &PriorSpec,
    ) -> Result<Self, PriorError> {
        let rotation = rotation.map(|table| Ok::<_, PriorError>(table.f_view_as_complex()?.f_unsqueeze(1)?));
        Ok(Self { spec: spec.clone(), layout, options, network, rotation: rotation.transpose()? })
    }

    pub(super) fn device(&self) -> Device {
        self.network.tokens.device()
    }

    /// `condition` for `batch` rows with its null values.
    pub(super) fn null(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        self.network.prefix.null(condition, batch, &self.spec, &self.options)
    }

    /// `condition` with null values for what is missing; compares it with what the prior was built for.
    pub(super) fn complete(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        self.spec.check(condition, batch, self.options.has_null())?;
        let lacks_class = self.spec.num_classes.is_some() && condition.class.is_none();
        let lacks_text = self.spec.text.is_some() && condition.text.is_none();
        let lacks_embedding = self.spec.embedding.is_some() && condition.embedding.is_none();
        if !lacks_class && !lacks_text && !lacks_embedding {
            return Ok(condition.clone());
        }
        Ok(condition.clone().or(&self.null(condition, batch)?))
    }

    /// `condition` with the null values in some rows.
    pub(super) fn drop_some(&self, condition: &Condition, batch: i64) -> Result<Condition, PriorError> {
        let null = self.null(condition, batch)?;
        let some = || Tensor::rand([batch], (Kind::Float, self.device())).lt(self.options.condition_dropout);
        let left = condition.where_not(&some(), &null)?;
        match self.options.dropout_mode {
            ConditionDropoutMode::Together => Ok(left),
            ConditionDropoutMode::Each => left.where_not_each(some, &null),
        }
    }

    /// The normalised output of the blocks for a prefix and the first tokens `[B, T]` of a sequence, `[B, P + T, D]`.
    pub(super) fn hidden(&self, condition: &Condition, tokens: &Tensor, train: bool) -> Result<Tensor, PriorError> {
        let network = &self.network;
        let (batch, _) = tokens.size2()?;
        let prefix = network.prefix.embed(condition, batch, self.layout.has_class, &network.tokens)?;
        let embedded = lookup(&network.tokens, &self.in_one_vocabulary(tokens, 0)?)?;
        let mut hidden = Tensor::f_cat(&[prefix, embedded], 1)?;
        let length = hidden.size()[1];
        if let Some(positions) = &network.positions {
            hidden = hidden.f_add(&positions.f_narrow(1, 0, length)?)?;
        }
        hidden = hidden.f_dropout(network.embedding_dropout, train)?;
        let pass = Pass {
            rotation: self.rotation.as_ref().map(|table| table.f_narrow(0, 0, length)).transpose()?,
            mask: self.mask(condition, length)?,
            train,
        };
        for block in &network.blocks {
            hidden = match self.options.checkpoint && train {
                true => checkpoint::forward(block, &hidden, &pass)?,
                false => block.forward(&hidden, &pass)?,
            };
        }
        network.norm.forward(&hidden)
    }

    /// The attention mask of the first `length` positions, `[1 or B, 1, S, S]`; none: a causal mask.
    fn mask(&self, condition: &Condition, length: i64) -> Result<Option<Tensor>, PriorError> {
        let padding = self.layout.padding_mask(condition, length, self.device())?;
        if padding.is_none() && self.options.n_unmasked == 0 {
            return Ok(None);
        }
        let causal = Layout::causal(length, self.options.n_unmasked, self.device()).unsqueeze(0);
        let Some(padding) = padding else { return Ok(Some(causal.unsqueeze(0))) };
        let itself = Tensor::eye(length, (Kind::Float, self.device())).to_kind(Kind::Bool);
        Ok(Some(causal.f_logical_and(&padding.f_unsqueeze(1)?)?.f_logical_or(&itself)?.f_unsqueeze(1)?))
    }

    /// Tokens `[B, T]` at the token positions `first..` of a sequence, as rows of the table of tokens.
    fn in_one_vocabulary(&self, tokens: &Tensor, first: i64) -> Result<Tensor, PriorError> {
        let books = self.layout.codebooks;
        if books == 1 {
            return Ok(tokens.shallow_clone());
        }
        let length = tokens.size2()?.1;
        let book = Tensor::arange_start(first, first + length, (Kind::Int64, tokens.device())).remainder(books);
        Ok(tokens.f_add(&offsets(&self.spec.target.sizes).to_device(tokens.device()).f_index_select(0, &book)?)?)
    }

    /// Tokens `[B, T]` of a sequence, some of them replaced by random ones.
    fn corrupt(&self, tokens: &Tensor) -> Result<Tensor, PriorError> {
        if self.options.pkeep == 1.0 {
            return Ok(tokens.shallow_clone());
        }
        let random = |tokens: &Tensor| Tensor::rand(tokens.size(), (Kind::Float, tokens.device()));
        let sizes = Tensor::from_slice(&self.spec.target.sizes).to_device(tokens.device());
        let sizes =
            sizes.f_repeat([tokens.size2()?.1 / self.layout.codebooks + 1])?.f_narrow(0, 0, tokens.size2()?.1)?;
        let others = random(tokens).f_mul(&sizes)?.f_to_kind(Kind::Int64)?.f_minimum(&(sizes - 1))?;
        Ok(tokens.f_where_self(&random(tokens).lt(self.options.pkeep), &others)?)
    }

    /// Logits `[B, H · W, K]` of the tokens of a codebook, from what [`before_tokens`](Self::before_tokens) gives.
    pub(super) fn logits_of_book(&self, hidden: &Tensor, book: i64) -> Result<Tensor, PriorError> {
        let before = hidden.f_slice(1, book, None, self.layout.codebooks)?;
        let first: i64 = self.spec.target.sizes[..book as usize].iter().sum();
        let head = self.network.head.f_narrow(0, first, self.spec.target.sizes[book as usize])?;
        Ok(before.f_linear(&head, None::<&Tensor>)?.f_to_kind(Kind::Float)?)
    }

    /// The output of the blocks for a condition and all tokens but the last, `[B, P + N - 1, D]`.
    pub(super) fn read(&self, condition: &Condition, tokens: &Tensor, train: bool) -> Result<Tensor, PriorError> {
        let read = tokens.f_narrow(1, 0, self.layout.tokens() - 1)?;
        let read = if train { self.corrupt(&read)? } else { read };
        self.hidden(condition, &read, train)
    }

    /// The output at the position before each token, `[B, N, D]`, from what [`read`](Self::read) gives.
    pub(super) fn before_tokens(&self, hidden: &Tensor) -> Result<Tensor, PriorError> {
        Ok(hidden.f_narrow(1, self.layout.prefix() - 1, self.layout.tokens())?)
    }

    /// Looks at the values of a condition.
    pub(super) fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        if let Some(classes) = Classes::of(&self.spec, self.options.condition_dropout) {
            classes.check(condition)?;
        }
        let padding = condition.embedding.as_ref().and_then(|embedding| embedding.mask.as_ref());
        let masks = [
            ("the mask of the embedding", padding),
            ("the mask of the text", condition.text.as_ref().map(|t| &t.mask)),
        ];
        for (what, mask) in masks {
            if let Some(mask) = mask.filter(|mask| mask.select(1, -1).all().int64_value(&[]) == 0) {
                return Err(PriorError::shape(what, "true in its last column: padding lies in front", mask));
            }
        }
        if let (Some(text), Some(spec)) = (&condition.text, &self.spec.text) {
            let rows = spec.vocabulary + i64::from(self.options.has_null());
            let (least, largest) = text.ids.aminmax(None, false);
            let of_range = [least, largest].map(|id| id.int64_value(&[]));
            if let Some(id) = of_range.into_iter().find(|id| !(0..rows).contains(id)) {
                return Err(PriorError::Text { id, vocabulary: spec.vocabulary });
            }
        }
        let may_be_null = self.options.drops_grids(&self.spec);
        condition.grids.iter().try_for_each(|grid| match may_be_null {
            true => Ok(without_null(grid)?.check_range()?),
            false => Ok(grid.check_range()?),
        })
    }
}

/// The grid with token 0 in place of the null token, which is outside every codebook.
fn without_null(grid: &TokenGrid) -> Result<TokenGrid, PriorError> {
    let null = grid.sizes.iter().sum::<i64>();
    let zero = grid.indices.f_zeros_like()?;
    Ok(TokenGrid { indices: grid.indices.f_where_self(&grid.indices.ne(null), &zero)?, sizes: grid.sizes.clone() })
}
