//! The cursor: runs both stacks, and writes tokens.

use tch::{Kind, Tensor};

use super::horizontal::HorizontalStack;
use super::linear::Linear;
use super::vertical::VerticalStack;
use crate::pixelcnn::context::Context;
use crate::pixelcnn::network::Network;
use crate::{Cursor, PriorError};

/// The cursor of [`GatedPixelCnn`](crate::GatedPixelCnn).
#[derive(Debug)]
pub(in crate::pixelcnn) struct PixelCnnCursor {
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

impl PixelCnnCursor {
    pub(in crate::pixelcnn) fn new(
        network: &Network,
        grid: [i64; 2],
        context: &Context,
        batch: i64,
    ) -> Result<Self, PriorError> {
        let vertical = VerticalStack::new(network, grid[1], context, batch)?;
        let horizontal = HorizontalStack::new(network, batch, &vertical.bases());
        let head = [Linear::new(&network.head[0]), Linear::new(&network.head[1])];
        let embedding = network.embedding.detach();
        Ok(Self { grid, batch, position: 0, ready: false, embedding, vertical, horizontal, head })
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
            self.vertical.begin_row(row, self.horizontal.tokens());
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
