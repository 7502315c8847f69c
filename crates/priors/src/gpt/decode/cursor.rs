//! The cursor: pushed tokens wait until logits are asked for, and are then read in one pass.

use std::ops::Deref;

use tch::{Device, Kind, Tensor};
use vqkit_torch::autocast;

use super::cache::Cache;
use super::decoder::Decoder;
use crate::gpt::transformer::Transformer;
use crate::{Condition, Cursor, PriorError};

/// The cursor of [`Gpt`](crate::Gpt).
///
/// The memory of keys and values is allocated at the start. The condition, and tokens that are pushed without logits being asked for
/// between them, are read in one pass.
#[derive(Debug)]
pub struct GptCursor<'g> {
    transformer: &'g Transformer,
    decoder: CursorWeights<'g>,
    cache: Cache,
    /// Vectors `[B, T, D]` that were not read yet.
    pending: Vec<Tensor>,
    /// The last position that was read, `[B, D]`.
    hidden: Option<Tensor>,
    batch: i64,
    position: i64,
}

/// Weights that the prior keeps for sampling, or a copy made for one cursor.
#[derive(Debug)]
enum CursorWeights<'g> {
    Prepared(&'g Decoder),
    Own(Box<Decoder>),
}

impl Deref for CursorWeights<'_> {
    type Target = Decoder;

    fn deref(&self) -> &Decoder {
        match self {
            Self::Prepared(decoder) => decoder,
            Self::Own(decoder) => decoder,
        }
    }
}

impl<'g> GptCursor<'g> {
    /// For a complete condition.
    pub(in crate::gpt) fn new(
        transformer: &'g Transformer,
        prepared: Option<&'g Decoder>,
        condition: &Condition,
        batch: i64,
    ) -> Result<Self, PriorError> {
        let device = transformer.device();
        let decoder = match prepared {
            Some(prepared) => CursorWeights::Prepared(prepared),
            None => CursorWeights::Own(Box::new(Decoder::new(transformer, Decoder::default_dtype(device))?)),
        };
        let prefix = autocast::disabled(device, || prefix(transformer, condition, batch))?;
        let prefix = decoder.add_positions(prefix, 0)?;
        let cache = Cache::new(transformer, condition, batch, decoder.kind)?;
        Ok(Self { transformer, decoder, cache, pending: vec![prefix], hidden: None, batch, position: 0 })
    }

    /// Keys and values of every layer, `[B, kv heads, length, dim]` each, of all positions read so far.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn keys_and_values(&self) -> Result<Vec<[Tensor; 2]>, PriorError> {
        (0..self.decoder.num_layers()).map(|layer| self.cache.first(layer, self.cache.length())).collect()
    }

    fn read_pending(&mut self) -> Result<(), PriorError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // If reading fails, the input must not be read again: it was changed in place.
        self.hidden = None;
        let pending = std::mem::take(&mut self.pending);
        let input = match pending.as_slice() {
            [one] => one.f_contiguous()?,
            several => Tensor::f_cat(several, 1)?,
        };
        self.hidden = Some(self.decoder.advance(&mut self.cache, &input, self.transformer.rotation.as_ref())?);
        Ok(())
    }

    fn book(&self) -> usize {
        (self.position % self.transformer.layout.codebooks) as usize
    }
}

/// The vectors of a condition, `[B, P, D]`. An embedding is projected row by row, since libtorch's product rounds a row differently
/// in another batch.
fn prefix(transformer: &Transformer, condition: &Condition, batch: i64) -> Result<Tensor, PriorError> {
    let network = &transformer.network;
    let embed = |condition: &Condition, batch| {
        let embedded = network.prefix.embed(condition, batch, transformer.layout.has_class, &network.tokens)?;
        Ok::<_, PriorError>(embedded.f_to_kind(Kind::Float)?)
    };
    if condition.embedding.is_none() {
        return embed(condition, batch);
    }
    let row = |index: i64| embed(&condition.rows(&Tensor::from_slice(&[index])), 1);
    Ok(Tensor::f_cat(&(0..batch).map(row).collect::<Result<Vec<_>, _>>()?, 0)?)
}

impl Cursor for GptCursor<'_> {
    fn logits(&mut self) -> Result<Tensor, PriorError> {
        let _guard = tch::no_grad_guard();
        if self.position == self.len() {
            return Err(PriorError::Finished(self.len()));
        }
        let (book, device) = (self.book(), self.transformer.device());
        autocast::disabled(device, || {
            self.read_pending()?;
            let hidden = self.hidden.as_ref().ok_or(PriorError::Finished(self.position))?;
            self.decoder.heads[book].forward(hidden)
        })
    }

    fn push(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        let _guard = tch::no_grad_guard();
        if tokens.kind() != Kind::Int64 || tokens.size() != [self.batch] {
            return Err(PriorError::shape("pushed tokens", format!("Int64 [{}]", self.batch), tokens));
        }
        if self.position == self.len() {
            return Err(PriorError::Finished(self.len()));
        }
        let tokens = tokens.f_to_device(self.transformer.device())?;
        self.check_range(&tokens)?;
        // The last token predicts nothing.
        if self.position + 1 < self.len() {
            let first: i64 = self.transformer.spec.target.sizes[..self.book()].iter().sum();
            let position = self.transformer.layout.prefix() + self.position;
            self.pending.push(self.decoder.embed(&(tokens + first), position)?);
        }
        self.position += 1;
        Ok(())
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn len(&self) -> i64 {
        self.transformer.layout.tokens()
    }
}

impl GptCursor<'_> {
    /// On a GPU it would have to be waited for.
    fn check_range(&self, tokens: &Tensor) -> Result<(), PriorError> {
        if tokens.device() != Device::Cpu {
            return Ok(());
        }
        let (codebook, tokens) = (self.book(), Vec::<i64>::try_from(tokens)?);
        let size = self.transformer.spec.target.sizes[codebook];
        match tokens.into_iter().find(|token| !(0..size).contains(token)) {
            None => Ok(()),
            Some(index) => Err(vqkit_torch::TokenError::Range { index, codebook, size }.into()),
        }
    }
}
