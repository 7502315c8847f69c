//! `type = "magvit2"`.

use vqkit_vqvae::Magvit2Config;

use super::bias_free::{EPS, GROUPS, Shortcut, blocks, norm_and_silu};
use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

impl Network for Magvit2Config {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let mut x = graph.conv(images, "encoder.conv_in")?;
        for level in 0..self.ch_mult.len() {
            let at = format!("encoder.down.{level}");
            x = blocks(graph, x, &format!("{at}.block"), self.num_res_blocks, Shortcut::Input)?;
            if level + 1 < self.ch_mult.len() {
                x = graph.layer(Op::Conv { stride: 2, padding: 1 }, x, &format!("{at}.downsample"))?;
            }
        }
        x = blocks(graph, x, "encoder.mid_block", self.num_res_blocks, Shortcut::Input)?;
        x = norm_and_silu(graph, x, "encoder.norm_out")?;
        let latents = graph.conv(x, "encoder.conv_out")?;
        quantize(graph, 0, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let style = Style::of(graph, codes[0]);
        let mut x = graph.conv(codes[0], "decoder.conv_in")?;
        x = blocks(graph, x, "decoder.mid_block", self.num_res_blocks, Shortcut::Input)?;
        for level in (0..self.ch_mult.len()).rev() {
            x = style.modulate(graph, x, &format!("decoder.adaptive.{level}"))?;
            let at = format!("decoder.up.{level}");
            x = blocks(graph, x, &format!("{at}.block"), self.num_res_blocks, Shortcut::Input)?;
            if level > 0 {
                x = graph.conv(x, &format!("{at}.upsample.conv1"))?;
                x = graph.map(Op::DepthToSpace, x);
            }
        }
        x = norm_and_silu(graph, x, "decoder.norm_out")?;
        graph.conv(x, "decoder.conv_out")
    }
}

/// Statistics of every channel of the codes over all positions, each `[B, 1, D]`.
struct Style {
    mean: Value,
    deviation: Value,
}

impl Style {
    fn of(graph: &mut Builder, codes: Value) -> Self {
        let rows = graph.map(Op::Rows, codes);
        let mean = graph.map(Op::MeanOfRows, rows);
        let variance = graph.map(Op::VarianceOfRows, rows);
        let eps = graph.number(EPS as f32);
        let raised = graph.push(Op::Add, &[variance, eps]);
        Self { mean, deviation: graph.map(Op::Sqrt, raised) }
    }

    /// Group normalisation without weights, times a linear map of the codes' deviations, plus one of their means.
    fn modulate(&self, graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
        let normed = graph.map(Op::GroupNorm { groups: GROUPS, eps: EPS }, x);
        let scale = everywhere(graph, self.deviation, &format!("{at}.gamma"))?;
        let shift = everywhere(graph, self.mean, &format!("{at}.beta"))?;
        let scaled = graph.push(Op::Mul, &[normed, scale]);
        Ok(graph.push(Op::Add, &[scaled, shift]))
    }
}

/// The linear map `at` of `[B, 1, D]`, as a map `[B, C, 1, 1]`.
fn everywhere(graph: &mut Builder, statistics: Value, at: &str) -> Result<Value, GraphError> {
    let channels = graph.linear(statistics, at)?;
    let channels = graph.map(Op::Transpose, channels);
    Ok(graph.map(Op::Unsqueeze { axis: 3 }, channels))
}
