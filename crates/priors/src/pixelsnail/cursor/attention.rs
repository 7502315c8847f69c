//! Attention to the cached keys and values of earlier positions.

use tch::Tensor;

use super::causal::Workspace;
use super::linear::{Linear, PointBlock};
use super::position::Position;
use crate::pixelsnail::attention::AttentionBlock;

/// An attention block: its cached keys and values, and its parameters arranged for products.
#[derive(Debug)]
pub(super) struct Attention {
    key_resblock: PointBlock,
    query_resblock: PointBlock,
    out_resblock: PointBlock,
    query: Linear,
    key_value: Linear,
    n_head: i64,
    joined: Joined,
    /// Keys, then values, `[2, B, heads, N, dim]`: zero where nothing is written yet.
    cache: Tensor,
    /// The same memory, `[B · heads, dim, N]`.
    keys: Tensor,
    /// The same memory, `[B · heads, N, dim]`.
    values: Tensor,
}

/// The input of the residual blocks at a position, side by side: the block's input, its features, and the coordinates.
#[derive(Debug)]
struct Joined {
    /// `[B, 2C + 2]`
    all: Tensor,
    /// All but the input, `[B, C + 2]`.
    queries: Tensor,
}

impl Attention {
    pub(super) fn new(block: &AttentionBlock, positions: i64, workspace: &Workspace) -> Self {
        let attention = &block.causal_attention;
        let query = Linear::new(&attention.query.weight(), attention.query.bias.as_ref());
        let (heads, width) = (attention.n_head, query.weight.size()[1]);
        let rows = workspace.batch * heads;
        let cache = Tensor::zeros([2, workspace.batch, heads, positions, width / heads], workspace.options);
        Self {
            key_resblock: PointBlock::new(&block.key_resblock),
            query_resblock: PointBlock::new(&block.query_resblock),
            out_resblock: PointBlock::new(&block.out_resblock),
            key_value: Linear::pair(&attention.key, &attention.value),
            n_head: heads,
            joined: Joined::new(2 * width, workspace),
            keys: cache.get(0).view([rows, positions, -1]).transpose(1, 2),
            values: cache.get(1).view([rows, positions, -1]),
            query,
            cache,
        }
    }

    /// The block's `input` and its `features`, `[B, C]` each, to the same. `hidden` `[1, 1, N]` is added to the
    /// scores: zero for earlier positions.
    pub(super) fn run(&self, at: &Position, input: &Tensor, features: &Tensor, hidden: &Tensor) -> Tensor {
        let Joined { all, queries } = &self.joined;
        let _ = Tensor::cat_out(all, &[input, features, &at.background], 1);
        let attended = self.attend(&self.query_resblock.forward(queries, None), hidden);
        self.cache(at.position, &self.key_resblock.forward(all, None));
        self.out_resblock.forward(features, Some(&attended))
    }

    /// Queries `[B, C + 2]` to the mean of the values, `[B, C / 2]`.
    fn attend(&self, queries: &Tensor, hidden: &Tensor) -> Tensor {
        let query = self.query.forward(queries);
        let shape = query.size();
        let scale = (shape[1] / self.n_head) as f64;
        let query = query.view([shape[0] * self.n_head, 1, -1]);
        let scores = hidden.baddbmm(&query, &self.keys, 1.0, scale.sqrt().recip());
        // The first position sees nothing: all values are zero then.
        scores.softmax(-1, scores.kind()).bmm(&self.values).view(&shape[..])
    }

    /// Caches key and value of a position for later ones.
    fn cache(&self, position: i64, keys: &Tensor) {
        let mut slot = self.cache.select(3, position).transpose(0, 1);
        slot.copy_(&self.key_value.forward(keys).view_as(&slot));
    }
}

impl Joined {
    fn new(channel: i64, workspace: &Workspace) -> Self {
        let all = Tensor::zeros([workspace.batch, 2 * channel + 2], workspace.options);
        Self { queries: all.narrow(1, channel, channel + 2), all }
    }
}
