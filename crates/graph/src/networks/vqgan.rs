//! `type = "vqgan"`.

use vqkit_vqvae::VqganConfig;

use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Groups of every normalisation.
const GROUPS: i64 = 32;
/// What every normalisation adds to a variance.
const EPS: f64 = 1e-6;

impl Network for VqganConfig {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let levels = self.ch_mult.len();
        let mut x = graph.conv(images, "encoder.conv_in")?;
        for level in 0..levels {
            let at = format!("encoder.down.{level}");
            x = blocks(graph, x, &at, self.num_res_blocks, has_attention(self, level))?;
            if level + 1 < levels {
                x = downsample(graph, x, &format!("{at}.downsample"), self.resamp_with_conv)?;
            }
        }
        x = middle(graph, x, "encoder.mid")?;
        x = norm_and_silu(graph, x, "encoder.norm_out")?;
        x = graph.conv(x, "encoder.conv_out")?;
        let latents = graph.conv(x, "quant_conv")?;
        quantize(graph, 0, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let z = graph.conv(codes[0], "post_quant_conv")?;
        let mut x = graph.conv(z, "decoder.conv_in")?;
        x = middle(graph, x, "decoder.mid")?;
        for level in (0..self.ch_mult.len()).rev() {
            let at = format!("decoder.up.{level}");
            x = blocks(graph, x, &at, self.num_res_blocks + 1, has_attention(self, level))?;
            if level > 0 {
                x = upsample(graph, x, &format!("{at}.upsample"), self.resamp_with_conv)?;
            }
        }
        x = norm_and_silu(graph, x, "decoder.norm_out")?;
        graph.conv(x, "decoder.conv_out")
    }
}

fn has_attention(config: &VqganConfig, level: usize) -> bool {
    config.attn_resolutions.contains(&(config.resolution >> level))
}

/// The residual blocks of one resolution, each followed by attention or none.
fn blocks(graph: &mut Builder, mut x: Value, at: &str, count: i64, attention: bool) -> Result<Value, GraphError> {
    for block in 0..count {
        x = residual(graph, x, &format!("{at}.block.{block}"))?;
        if attention {
            x = attend(graph, x, &format!("{at}.attn.{block}"))?;
        }
    }
    Ok(x)
}

fn middle(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    let x = residual(graph, x, &format!("{at}.block_1"))?;
    let x = attend(graph, x, &format!("{at}.attn_1"))?;
    residual(graph, x, &format!("{at}.block_2"))
}

/// Two convolutions, each of a normalised and activated input, added to the input, which is convolved where the width changes.
fn residual(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    let hidden = norm_and_silu(graph, x, &format!("{at}.norm1"))?;
    let hidden = graph.conv(hidden, &format!("{at}.conv1"))?;
    let hidden = norm_and_silu(graph, hidden, &format!("{at}.norm2"))?;
    let branch = graph.conv(hidden, &format!("{at}.conv2"))?;
    let widths = graph.shape(&format!("{at}.conv1.weight"))?;
    let changes = widths.first() != widths.get(1);
    let start = if changes { graph.conv(x, &format!("{at}.nin_shortcut"))? } else { x };
    Ok(graph.push(Op::Add, &[start, branch]))
}

/// Attention of every position to all positions, added to the input.
fn attend(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    let normed = norm(graph, x, &format!("{at}.norm"))?;
    let rows = graph.map(Op::Rows, normed);
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.linear(rows, &format!("{at}.{name}")));
    let width = graph.shape(&format!("{at}.q.weight"))?.first().copied().unwrap_or(1);
    let attended = graph.push(Op::Attention { width }, &[q?, k?, v?]);
    let projected = graph.linear(attended, &format!("{at}.proj_out"))?;
    let map = graph.push(Op::Map, &[projected, x]);
    Ok(graph.push(Op::Add, &[x, map]))
}

fn norm(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    graph.layer(Op::GroupNorm { groups: GROUPS, eps: EPS }, x, at)
}

fn norm_and_silu(graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
    let normed = norm(graph, x, at)?;
    Ok(graph.map(Op::Silu, normed))
}

fn downsample(graph: &mut Builder, x: Value, at: &str, with_conv: bool) -> Result<Value, GraphError> {
    if !with_conv {
        return Ok(graph.map(Op::HalveByMean, x));
    }
    let padded = graph.map(Op::PadBelowRight, x);
    graph.layer(Op::Conv { stride: 2, padding: 0 }, padded, &format!("{at}.conv"))
}

fn upsample(graph: &mut Builder, x: Value, at: &str, with_conv: bool) -> Result<Value, GraphError> {
    let doubled = graph.map(Op::DoubleByRepetition, x);
    if with_conv { graph.conv(doubled, &format!("{at}.conv")) } else { Ok(doubled) }
}
