//! `type = "vqgan"`.

use vqkit_vqvae::{DecoderNorm, VqganConfig};

use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// What every normalisation adds to a variance.
const EPS: f64 = 1e-6;
/// Groups of a normalisation that the codes modulate.
const SPATIAL_GROUPS: i64 = 32;

impl Network for VqganConfig {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let (levels, norm) = (self.ch_mult.len(), Norm { groups: self.norm_groups, codes: None });
        let mut x = graph.conv(images, "encoder.conv_in")?;
        for level in 0..levels {
            let at = format!("encoder.down.{level}");
            x = blocks(graph, x, &at, self.num_res_blocks, has_attention(self, level), norm)?;
            if level + 1 < levels {
                x = downsample(graph, x, &format!("{at}.downsample"), self.resamp_with_conv)?;
            }
        }
        x = middle(graph, x, "encoder.mid", self.mid_attention, norm)?;
        x = norm.and_silu(graph, x, "encoder.norm_out")?;
        x = graph.conv(x, "encoder.conv_out")?;
        let latents = graph.conv(x, "quant_conv")?;
        quantize(graph, 0, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let last = self.ch_mult.len() - 1;
        // How much finer a level is than the codes.
        let norm = |level: usize| {
            let codes = (self.decoder_norm == DecoderNorm::Spatial).then_some((codes[0], 1 << (last - level)));
            Norm { groups: self.norm_groups, codes }
        };
        let z = graph.conv(codes[0], "post_quant_conv")?;
        let mut x = graph.conv(z, "decoder.conv_in")?;
        x = middle(graph, x, "decoder.mid", self.mid_attention, norm(last))?;
        for level in (0..=last).rev() {
            let at = format!("decoder.up.{level}");
            x = blocks(graph, x, &at, self.num_res_blocks + 1, has_attention(self, level), norm(level))?;
            if level > 0 {
                x = upsample(graph, x, &format!("{at}.upsample"), self.resamp_with_conv)?;
            }
        }
        x = norm(0).and_silu(graph, x, "decoder.norm_out")?;
        graph.conv(x, "decoder.conv_out")
    }
}

fn has_attention(config: &VqganConfig, level: usize) -> bool {
    config.attn_resolutions.contains(&(config.resolution >> level))
}

/// The form of the normalisations of a level.
#[derive(Clone, Copy)]
struct Norm {
    groups: i64,
    /// Codes that modulate what is normalised, and how much coarser they are.
    codes: Option<(Value, i64)>,
}

impl Norm {
    fn apply(self, graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
        let Some((codes, factor)) = self.codes else {
            return graph.layer(Op::GroupNorm { groups: self.groups, eps: EPS }, x, at);
        };
        let group = Op::GroupNorm { groups: SPATIAL_GROUPS, eps: EPS };
        let normed = graph.layer(group, x, &format!("{at}.norm_layer"))?;
        let [scale, shift] = ["conv_y", "conv_b"].map(|name| {
            let coarse = graph.conv(codes, &format!("{at}.{name}"))?;
            Ok::<_, GraphError>(if factor == 1 { coarse } else { graph.map(Op::Repeat { factor }, coarse) })
        });
        let scaled = graph.push(Op::Mul, &[normed, scale?]);
        Ok(graph.push(Op::Add, &[scaled, shift?]))
    }

    fn and_silu(self, graph: &mut Builder, x: Value, at: &str) -> Result<Value, GraphError> {
        let normed = self.apply(graph, x, at)?;
        Ok(graph.map(Op::Silu, normed))
    }
}

/// The residual blocks of one resolution, each followed by attention or none.
fn blocks(
    graph: &mut Builder,
    mut x: Value,
    at: &str,
    count: i64,
    attention: bool,
    norm: Norm,
) -> Result<Value, GraphError> {
    for block in 0..count {
        x = residual(graph, x, &format!("{at}.block.{block}"), norm)?;
        if attention {
            x = attend(graph, x, &format!("{at}.attn.{block}"), norm)?;
        }
    }
    Ok(x)
}

fn middle(graph: &mut Builder, x: Value, at: &str, attention: bool, norm: Norm) -> Result<Value, GraphError> {
    let x = residual(graph, x, &format!("{at}.block_1"), norm)?;
    let x = if attention { attend(graph, x, &format!("{at}.attn_1"), norm)? } else { x };
    residual(graph, x, &format!("{at}.block_2"), norm)
}

/// Two convolutions, each of a normalised and activated input, added to the input, which is convolved where the width changes.
fn residual(graph: &mut Builder, x: Value, at: &str, norm: Norm) -> Result<Value, GraphError> {
    let hidden = norm.and_silu(graph, x, &format!("{at}.norm1"))?;
    let hidden = graph.conv(hidden, &format!("{at}.conv1"))?;
    let hidden = norm.and_silu(graph, hidden, &format!("{at}.norm2"))?;
    let branch = graph.conv(hidden, &format!("{at}.conv2"))?;
    let widths = graph.shape(&format!("{at}.conv1.weight"))?;
    let changes = widths.first() != widths.get(1);
    let start = if changes { graph.conv(x, &format!("{at}.nin_shortcut"))? } else { x };
    Ok(graph.push(Op::Add, &[start, branch]))
}

/// Attention of every position to all positions, added to the input.
fn attend(graph: &mut Builder, x: Value, at: &str, norm: Norm) -> Result<Value, GraphError> {
    let normed = norm.apply(graph, x, &format!("{at}.norm"))?;
    let rows = graph.map(Op::Rows, normed);
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.linear(rows, &format!("{at}.{name}")));
    let width = graph.shape(&format!("{at}.q.weight"))?.first().copied().unwrap_or(1);
    let attended = graph.push(Op::Attention { width }, &[q?, k?, v?]);
    let projected = graph.linear(attended, &format!("{at}.proj_out"))?;
    let map = graph.push(Op::Map, &[projected, x]);
    Ok(graph.push(Op::Add, &[x, map]))
}

fn downsample(graph: &mut Builder, x: Value, at: &str, with_conv: bool) -> Result<Value, GraphError> {
    if !with_conv {
        return Ok(graph.map(Op::HalveByMean, x));
    }
    let padded = graph.map(Op::PadBelowRight, x);
    graph.layer(Op::Conv { stride: 2, padding: 0 }, padded, &format!("{at}.conv"))
}

fn upsample(graph: &mut Builder, x: Value, at: &str, with_conv: bool) -> Result<Value, GraphError> {
    let doubled = graph.map(Op::Repeat { factor: 2 }, x);
    if with_conv { graph.conv(doubled, &format!("{at}.conv")) } else { Ok(doubled) }
}
