//! `type = "maskgit-vqgan"`. The original network works on images in `[0, 1]`.

use vqkit_vqvae::MaskgitVqganConfig;

use super::bias_free::{Shortcut, blocks, norm_and_silu};
use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

impl Network for MaskgitVqganConfig {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let (one, half) = (graph.number(1.0), graph.number(0.5));
        let raised = graph.push(Op::Add, &[images, one]);
        let images = graph.push(Op::Mul, &[raised, half]);
        let mut x = graph.conv(images, "encoder.conv_in")?;
        for level in 0..self.channel_mult.len() {
            x = if level == 0 { x } else { graph.map(Op::HalveByMean, x) };
            x = blocks(graph, x, &format!("encoder.down.{level}.block"), self.num_res_blocks, Shortcut::Output)?;
        }
        x = blocks(graph, x, "encoder.mid", self.num_res_blocks, Shortcut::Output)?;
        x = norm_and_silu(graph, x, "encoder.norm_out")?;
        let latents = graph.conv(x, "encoder.conv_out")?;
        quantize(graph, 0, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let mut x = graph.conv(codes[0], "decoder.conv_in")?;
        x = blocks(graph, x, "decoder.mid", self.num_res_blocks, Shortcut::Output)?;
        for level in (0..self.channel_mult.len()).rev() {
            let at = format!("decoder.up.{level}");
            x = blocks(graph, x, &format!("{at}.block"), self.num_res_blocks, Shortcut::Output)?;
            if level > 0 {
                x = graph.map(Op::Repeat { factor: 2 }, x);
                x = graph.conv(x, &format!("{at}.upsample_conv"))?;
            }
        }
        x = norm_and_silu(graph, x, "decoder.norm_out")?;
        x = graph.conv(x, "decoder.conv_out")?;
        let (one, two) = (graph.number(1.0), graph.number(2.0));
        let doubled = graph.push(Op::Mul, &[x, two]);
        Ok(graph.push(Op::Sub, &[doubled, one]))
    }
}
