//! The interface of a cursor: a batch of grids that an autoregressive prior writes token by token.

use tch::Tensor;

use crate::PriorError;

/// A batch of grids being written token by token, in the order of
/// [`Autoregressive::token_order`](crate::Autoregressive::token_order), the `Q` codebooks of a position innermost.
///
/// State is allocated once and the past is never computed again.
pub trait Cursor {
    /// Logits `[B, K]` of the next position.
    ///
    /// # Errors
    /// [`PriorError::Finished`] behind the last position.
    fn logits(&mut self) -> Result<Tensor, PriorError>;

    /// Writes `tokens` `[B]`, i64, at the next position and goes on to the one after.
    ///
    /// # Errors
    /// [`PriorError::Shape`] for another shape or kind, [`PriorError::Finished`] behind the last position.
    fn push(&mut self, tokens: &Tensor) -> Result<(), PriorError>;

    /// Writes `tokens` `[B, n]`, i64, at the next `n` positions; no logits are asked for between them, so that a cursor may
    /// read them in one pass. By default they are pushed one by one.
    ///
    /// # Errors
    /// As [`Cursor::push`]; tokens before the one that is refused are written.
    fn prefill(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        if tokens.dim() != 2 {
            return Err(PriorError::shape("prefilled tokens", "Int64 [B, n]", tokens));
        }
        (0..tokens.size()[1]).try_for_each(|index| self.push(&tokens.select(1, index)))
    }

    /// The number of tokens pushed.
    fn position(&self) -> i64;

    /// The number of positions of a grid.
    fn len(&self) -> i64;

    /// Whether a grid has no positions.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
