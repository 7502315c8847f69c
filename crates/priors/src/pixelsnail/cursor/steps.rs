//! The cursor: runs all blocks at a position, and writes tokens.

use tch::{Kind, Tensor};

use super::block::BlockStep;
use super::causal::Workspace;
use super::linear::{Linear, PointBlock};
use super::position::Position;
use super::tokens::TokenFeatures;
use crate::pixelsnail::attention::MASKED;
use crate::pixelsnail::context::Context;
use crate::pixelsnail::network::Network;
use crate::{Cursor, PriorError};

/// The cursor of [`PixelSnail`](crate::PixelSnail).
#[derive(Debug)]
pub(in crate::pixelsnail) struct PixelSnailCursor {
    grid: [i64; 2],
    batch: i64,
    position: i64,
    tokens: TokenFeatures,
    blocks: Vec<BlockStep>,
    /// Of the condition grids, `[H, B · W, F]`.
    features: Option<Tensor>,
    /// `[N, 2]`
    background: Tensor,
    /// What is added to scores of attention, `[1, 1, N]`: zero for earlier positions.
    hidden: Tensor,
    head: (Vec<PointBlock>, Linear),
    /// The last block's output `[B, C]`, if it was computed for the position.
    top: Option<Tensor>,
}

impl PixelSnailCursor {
    pub(in crate::pixelsnail) fn new(network: &Network, grid: [i64; 2], context: &Context, batch: i64) -> Self {
        let config = &network.config;
        let (positions, options) = (grid[0] * grid[1], (network.background.kind(), network.background.device()));
        let widest = config.channel.max(config.res_channel);
        let workspace = Workspace::new(batch, grid[1], config.kernel_size, widest, options);
        let rows_first = |map: &Tensor| map.permute([2, 0, 3, 1]).contiguous().flatten(1, 2);
        let head = &network.head;
        Self {
            grid,
            batch,
            position: 0,
            tokens: TokenFeatures::new(&network.input, grid, batch, context.class.as_ref()),
            blocks: network.blocks.iter().map(|block| BlockStep::new(block, positions, &workspace)).collect(),
            features: context.features.as_ref().map(rows_first),
            background: network.background.view([2, positions]).transpose(0, 1).contiguous(),
            hidden: Tensor::full([1, 1, positions], MASKED, options),
            head: (head.blocks.iter().map(PointBlock::new).collect(), Linear::point(&head.conv)),
            top: None,
        }
    }

    /// The last block's output at the position, `[B, C]`.
    fn top(&mut self) -> Result<Tensor, PriorError> {
        if self.position == self.len() {
            return Err(PriorError::Finished(self.len()));
        }
        if let Some(top) = &self.top {
            return Ok(top.shallow_clone());
        }
        let [row, column] = self.row_and_column();
        if column == 0 {
            let features = self.features.as_ref().map(|features| features.get(row));
            self.blocks.iter().for_each(|block| block.begin_row(features.as_ref()));
        }
        let background = self.background.narrow(0, self.position, 1).expand([self.batch, 2], false);
        let at = Position { position: self.position, column, background };
        let mut features = self.tokens.features(row, column);
        for block in &self.blocks {
            features = block.run(&at, &features, &self.hidden);
        }
        let _ = self.hidden.select(2, self.position).zero_();
        self.top = Some(features.shallow_clone());
        Ok(features)
    }

    fn row_and_column(&self) -> [i64; 2] {
        [self.position / self.grid[1], self.position % self.grid[1]]
    }
}

impl Cursor for PixelSnailCursor {
    fn logits(&mut self) -> Result<Tensor, PriorError> {
        let _guard = tch::no_grad_guard();
        let mut features = self.top()?;
        let (blocks, last) = &self.head;
        for block in blocks {
            features = block.forward(&features, None);
        }
        Ok(last.forward(&features.elu()))
    }

    fn push(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        let _guard = tch::no_grad_guard();
        if tokens.kind() != Kind::Int64 || tokens.size() != [self.batch] {
            return Err(PriorError::shape("pushed tokens", format!("Int64 [{}]", self.batch), tokens));
        }
        // The stacks move on even where nobody looked at the logits.
        let _ = self.top()?;
        let [row, column] = self.row_and_column();
        self.tokens.write(row, column, tokens)?;
        self.position += 1;
        self.top = None;
        Ok(())
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn len(&self) -> i64 {
        self.grid[0] * self.grid[1]
    }
}
