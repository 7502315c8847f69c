//! Incremental sampling: every position of every layer is computed once.
//!
//! The vertical stack sees only rows above, so it runs a row at a time, when a row begins; the horizontal stack runs a
//! position at a time. What is left per position and layer is four calls into libtorch on buffers that were allocated at
//! the start: two products with pre-arranged weights (all taps in one), and the two halves of the gate.

mod horizontal;
mod vertical;

use tch::{Kind, Tensor};

use self::horizontal::HorizontalStack;
use self::vertical::VerticalStack;
use super::{Context, GatedPixelCnn};
use crate::{Cursor, PriorError};

/// The cursor of [`GatedPixelCnn`].
#[derive(Debug)]
pub(super) struct PixelCnnCursor {
    grid: [i64; 2],
    batch: i64,
    position: i64,
    /// Whether the stacks have run for the position.
    ready: bool,
    embedding: Tensor,
    vertical: VerticalStack,
    horizontal: HorizontalStack,
    head: [Linear; 2],
}

/// `input · weight + bias`, with `weight` `[in, out]`.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// From a 1 × 1 convolution.
    fn new(conv: &tch::nn::Conv<[i64; 2]>) -> Self {
        let weight = conv.ws.squeeze_dim(-1).squeeze_dim(-1).transpose(0, 1).contiguous();
        Self { bias: bias(conv), weight }
    }

    fn forward(&self, input: &Tensor) -> Tensor {
        self.bias.addmm(input, &self.weight)
    }
}

fn bias(conv: &tch::nn::Conv<[i64; 2]>) -> Tensor {
    conv.bs
        .as_ref()
        .map_or_else(|| Tensor::zeros([conv.ws.size()[0]], (conv.ws.kind(), conv.ws.device())), Tensor::copy)
}

impl PixelCnnCursor {
    pub(super) fn new(prior: &GatedPixelCnn, context: &Context, batch: i64) -> Result<Self, PriorError> {
        let vertical = VerticalStack::new(prior, context, batch)?;
        let horizontal = HorizontalStack::new(prior, batch, &vertical);
        let head = [Linear::new(&prior.head[0]), Linear::new(&prior.head[1])];
        let embedding = prior.embedding.detach();
        Ok(Self { grid: prior.spec.grid, batch, position: 0, ready: false, embedding, vertical, horizontal, head })
    }

    fn run_stacks(&mut self) -> Result<(), PriorError> {
        if self.position == self.len() {
            return Err(PriorError::Finished(self.len()));
        }
        if self.ready {
            return Ok(());
        }
        let [row, column] = [self.position / self.grid[1], self.position % self.grid[1]];
        if column == 0 {
            self.vertical.begin_row(row, &self.horizontal);
        }
        self.horizontal.step(column as usize);
        self.ready = true;
        Ok(())
    }
}

impl Cursor for PixelCnnCursor {
    fn logits(&mut self) -> Result<Tensor, PriorError> {
        let _guard = tch::no_grad_guard();
        self.run_stacks()?;
        let [narrow, wide] = &self.head;
        Ok(wide.forward(&narrow.forward(self.horizontal.top()).relu_()))
    }

    fn push(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        let _guard = tch::no_grad_guard();
        if tokens.kind() != Kind::Int64 || tokens.size() != [self.batch] {
            return Err(PriorError::shape("pushed tokens", format!("Int64 [{}]", self.batch), tokens));
        }
        self.run_stacks()?;
        let embedded = self.embedding.f_index_select(0, &tokens.to_device(self.embedding.device()))?;
        self.horizontal.write((self.position % self.grid[1]) as usize, &embedded);
        self.position += 1;
        self.ready = false;
        Ok(())
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn len(&self) -> i64 {
        self.grid[0] * self.grid[1]
    }
}
