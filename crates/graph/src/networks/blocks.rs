//! The blocks that the strided networks share: normalisation, residual blocks, halvings and doublings.

use vqkit_vqvae::{NormKind, Residual};

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Largest number of groups of a group normalisation.
const GROUPS: i64 = 32;
/// What both normalisations add to a variance.
const EPS: f64 = 1e-5;

/// The normalisation `at`, or nothing.
pub(super) fn norm(graph: &mut Builder, x: Value, kind: NormKind, at: &str) -> Result<Value, GraphError> {
    match kind {
        NormKind::None => Ok(x),
        NormKind::Batch => {
            let mut inputs = vec![x];
            for name in ["weight", "bias", "running_mean", "running_var"] {
                inputs.push(graph.weight(&format!("{at}.{name}"))?);
            }
            Ok(graph.push(Op::BatchNorm { eps: EPS }, &inputs))
        }
        NormKind::Group => {
            let channels = graph.shape(&format!("{at}.weight"))?.first().copied().unwrap_or(1);
            let groups = (1..=GROUPS.min(channels)).rev().find(|groups| channels % groups == 0).unwrap_or(1);
            graph.layer(Op::GroupNorm { groups, eps: EPS }, x, at)
        }
    }
}

/// A strided 4×4 convolution that halves height and width.
pub(super) fn halve(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    graph.layer(Op::Conv { stride: 2, padding: 1 }, x, at)
}

/// A strided 4×4 transposed convolution that doubles height and width.
pub(super) fn double(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    graph.layer(Op::ConvTranspose { stride: 2, padding: 1 }, x, at)
}

/// The residual blocks of a network.
pub(super) struct ResidualBlocks {
    pub blocks: i64,
    pub norm: NormKind,
    pub order: Residual,
}

impl ResidualBlocks {
    /// All blocks, one after the other.
    pub fn apply(&self, graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
        (0..self.blocks).try_fold(x, |x, block| self.block(graph, x, &format!("{at}.{block}")))
    }

    fn block(&self, graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
        let (head, tail) = match self.order {
            Residual::Plain | Residual::Rectified => (NormKind::None, self.norm),
            Residual::Preactivated => (self.norm, NormKind::None),
        };
        let normed = norm(graph, x, head, &format!("{at}.head_norm"))?;
        let rectified = graph.map(Op::Relu, normed);
        let narrow = graph.conv(rectified, &format!("{at}.narrow"))?;
        let narrow = norm(graph, narrow, self.norm, &format!("{at}.narrow_norm"))?;
        let narrow = graph.map(Op::Relu, narrow);
        let wide = graph.conv(narrow, &format!("{at}.widen"))?;
        let branch = norm(graph, wide, tail, &format!("{at}.widen_norm"))?;
        let start = if self.order == Residual::Rectified { rectified } else { x };
        Ok(graph.push(Op::Add, &[start, branch]))
    }
}
