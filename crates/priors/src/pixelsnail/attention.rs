//! Attention to all earlier positions.

use tch::{Kind, Tensor, nn};

use super::conv::WeightNorm;
use super::gated::{GatedResBlock, Kernel, Pass};

/// Score of a position that may not be seen: finite, since the first position sees none.
pub(super) const MASKED: f64 = -1e4;

/// Attention with residual blocks for its keys, its queries and its output.
#[derive(Debug)]
pub(super) struct AttentionBlock {
    pub key_resblock: GatedResBlock,
    pub query_resblock: GatedResBlock,
    pub causal_attention: CausalAttention,
    pub out_resblock: GatedResBlock,
}

/// The projections, to `C / 2` channels each.
#[derive(Debug)]
pub(super) struct CausalAttention {
    pub n_head: i64,
    pub query: WeightNorm,
    pub key: WeightNorm,
    pub value: WeightNorm,
}

impl AttentionBlock {
    pub(super) fn new(vs: &nn::Path, channel: i64, n_head: i64) -> Self {
        let (queries, keys) = (channel + 2, 2 * channel + 2);
        let block = |name: &str, width: i64| GatedResBlock::new(&(vs / name), width, channel, Kernel::Around(1));
        Self {
            key_resblock: block("key_resblock", keys),
            query_resblock: block("query_resblock", queries),
            causal_attention: CausalAttention::new(&(vs / "causal_attention"), [queries, keys], channel / 2, n_head),
            out_resblock: block("out_resblock", channel).with_aux(&(vs / "out_resblock"), channel / 2, channel),
        }
    }

    /// The block's `input` and what its residual blocks made of it, `out`, `[B, C, H, W]` each, to the same.
    pub(super) fn forward(&self, input: &Tensor, out: &Tensor, background: &Tensor, pass: Pass<'_>) -> Tensor {
        let pass = Pass { features: None, ..pass };
        let keys = self.key_resblock.forward(&Tensor::cat(&[input, out, background], 1), None, pass);
        let queries = self.query_resblock.forward(&Tensor::cat(&[out, background], 1), None, pass);
        let attended = self.causal_attention.forward(&queries, &keys, pass.dropout);
        self.out_resblock.forward(out, Some(&attended), pass)
    }
}

impl CausalAttention {
    fn new(vs: &nn::Path, [queries, keys]: [i64; 2], width: i64, n_head: i64) -> Self {
        let linear = |name: &str, channels: i64| WeightNorm::new(&(vs / name), &[width, channels], true);
        Self { n_head, query: linear("query", queries), key: linear("key", keys), value: linear("value", keys) }
    }

    /// `[B, …, H, W]` to `[B, C / 2, H, W]`.
    fn forward(&self, queries: &Tensor, keys: &Tensor, dropout: f64) -> Tensor {
        let (heads, size) = (self.n_head, queries.size());
        let flat = |map: &Tensor| map.flatten(2, 3).transpose(1, 2);
        let split = |rows: Tensor| rows.unflatten(2, [heads, -1]).transpose(1, 2);
        let query = split(self.query.linear(&flat(queries)));
        let keys = flat(keys);
        let (key, value) = (split(self.key.linear(&keys)), split(self.value.linear(&keys)));
        let scale = (query.size()[3] as f64).sqrt();
        let positions = size[2] * size[3];
        let hidden = Tensor::ones([positions, positions], (Kind::Bool, keys.device())).triu(0);
        // Scaling one side of the product, and masking its result in place, saves copies of all `N × N` scores.
        let scores = (query / scale).matmul(&key.transpose(2, 3)).masked_fill_(&hidden, MASKED);
        let weights = scores.softmax(-1, scores.kind()).dropout(dropout, dropout > 0.0);
        // The first position sees nothing.
        let start = Tensor::arange(positions, (Kind::Int64, keys.device())).gt(0).unsqueeze(1);
        let attended = weights.matmul(&value) * start;
        attended.transpose(2, 3).flatten(1, 2).unflatten(2, [size[2], size[3]])
    }
}
