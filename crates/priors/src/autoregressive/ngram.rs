//! A ban on tokens that would repeat an n-gram.

use tch::{Device, Kind, Tensor};

/// A token that is not drawn yet, and one before the first.
const NOTHING: i64 = -1;
const BEFORE: i64 = -2;

/// The tokens drawn so far, and those that would repeat an n-gram of them. Its memory is allocated once.
#[derive(Debug)]
pub(super) struct NoRepeat {
    n: i64,
    length: i64,
    /// `n - 1` times [`BEFORE`], then the tokens, `[R, n - 1 + length]`.
    history: Tensor,
    /// Whether a position holds a token of the codebook, `[1, length]` each.
    of_book: Vec<Tensor>,
    /// `[R, K + 1]`, for the largest codebook; the last column is written where there is no token to ban.
    banned: Tensor,
}

impl NoRepeat {
    pub(super) fn new(n: i64, sizes: &[i64], length: i64, rows: i64, device: Device) -> Self {
        let n = n.min(length);
        let history = Tensor::full([rows, n - 1 + length], NOTHING, (Kind::Int64, device));
        let _ = history.narrow(1, 0, n - 1).fill_(BEFORE);
        let book = Tensor::arange(length, (Kind::Int64, device)).remainder(sizes.len() as i64).unsqueeze(0);
        let largest = sizes.iter().copied().max().unwrap_or(0);
        Self {
            n,
            length,
            history,
            of_book: (0..sizes.len() as i64).map(|index| book.eq(index)).collect(),
            banned: Tensor::zeros([rows, largest + 1], (Kind::Bool, device)),
        }
    }

    /// `logits` `[R, K]` of `position` with -∞ at banned tokens; rows without any other are left as they are.
    pub(super) fn apply(&mut self, logits: &Tensor, position: i64) -> Tensor {
        let size = logits.size()[1];
        let tokens = self.history.narrow(1, self.n - 1, self.length);
        let repeats = self.of_book[(position % self.of_book.len() as i64) as usize].logical_and(&tokens.ge(0));
        let repeats = (1..self.n).fold(repeats, |repeats, back| {
            let before = self.history.narrow(1, self.n - 1 - back, self.length);
            repeats.logical_and(&before.eq_tensor(&self.history.narrow(1, self.n - 1 + position - back, 1)))
        });
        let nowhere = self.banned.size()[1] - 1;
        let ends = tokens.masked_fill(&repeats.logical_not(), nowhere);
        let _ = self.banned.fill_(0).scatter_value_(1, &ends, 1);
        let banned = self.banned.narrow(1, 0, size);
        let some_left = banned.all_dim(1, true).logical_not();
        logits.masked_fill(&banned.logical_and(&some_left), f64::NEG_INFINITY)
    }

    /// Records the tokens `[R]` of a position.
    pub(super) fn write(&mut self, tokens: &Tensor, position: i64) {
        self.history.select(1, self.n - 1 + position).copy_(tokens);
    }
}
