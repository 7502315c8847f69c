//! The residual blocks of `maskgit-vqgan` and `magvit2`, whose convolutions have no bias.

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Groups of every normalisation.
pub(super) const GROUPS: i64 = 32;
/// What every normalisation adds to a variance.
pub(super) const EPS: f64 = 1e-6;

/// What the 1×1 convolution of a block that changes the width is applied to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortcut {
    Input,
    /// The output of the block's last convolution.
    Output,
}

/// `count` residual blocks at `at.0`, `at.1`, ….
pub(super) fn blocks(
    graph: &mut Builder,
    x: Value,
    at: &str,
    count: i64,
    shortcut: Shortcut,
) -> Result<Value, GraphError> {
    (0..count).try_fold(x, |x, block| residual(graph, x, &format!("{at}.{block}"), shortcut))
}

fn residual(graph: &mut Builder, x: Value, at: &str, shortcut: Shortcut) -> Result<Value, GraphError> {
    let hidden = norm_and_silu(graph, x, &format!("{at}.norm1"))?;
    let hidden = graph.conv(hidden, &format!("{at}.conv1"))?;
    let hidden = norm_and_silu(graph, hidden, &format!("{at}.norm2"))?;
    let branch = graph.conv(hidden, &format!("{at}.conv2"))?;
    let widths = graph.shape(&format!("{at}.conv1.weight"))?;
    let changes = widths.first() != widths.get(1);
    let start = match shortcut {
        _ if !changes => x,
        Shortcut::Input => graph.conv(x, &format!("{at}.nin_shortcut"))?,
        Shortcut::Output => graph.conv(branch, &format!("{at}.nin_shortcut"))?,
    };
    Ok(graph.push(Op::Add, &[start, branch]))
}

/// Group normalisation and SiLU.
pub(super) fn norm_and_silu(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    let normed = graph.layer(Op::GroupNorm { groups: GROUPS, eps: EPS }, x, at)?;
    Ok(graph.map(Op::Silu, normed))
}
