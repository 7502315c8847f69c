//! `type = "vqvae2"`.

use vqkit_vqvae::VqVae2Config;

use super::blocks::{ResidualBlocks, double, halve, norm};
use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

/// Halvings of the bottom encoder, and doublings of the decoder.
const BOTTOM_STEPS: usize = 2;
/// Halvings of the top encoder, and doublings of its decoder.
const TOP_STEPS: usize = 1;

impl Network for VqVae2Config {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize_t", "quantize_b"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let bottom = encoder(self, graph, images, "enc_b", BOTTOM_STEPS)?;
        let top = encoder(self, graph, bottom, "enc_t", TOP_STEPS)?;
        let top = graph.conv(top, "quantize_conv_t")?;
        let top = norm(graph, top, self.latent_norm, "latent_norm_t")?;
        let codes_top = quantize(graph, 0, top)?;
        let known = decoder(self, graph, codes_top, "dec_t", TOP_STEPS)?;
        let both = graph.push(Op::Concat { axis: 1 }, &[known, bottom]);
        let latents = graph.conv(both, "quantize_conv_b")?;
        let latents = norm(graph, latents, self.latent_norm, "latent_norm_b")?;
        quantize(graph, 1, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let top = double(graph, codes[0], "upsample_t")?;
        let both = graph.push(Op::Concat { axis: 1 }, &[top, codes[1]]);
        decoder(self, graph, both, "dec", BOTTOM_STEPS)
    }
}

fn encoder(
    config: &VqVae2Config,
    graph: &mut Builder,
    mut x: Value,
    at: &str,
    steps: usize,
) -> Result<Value, GraphError> {
    for step in 0..steps {
        x = halve(graph, x, &format!("{at}.down.{step}"))?;
        x = graph.map(Op::Relu, x);
    }
    x = graph.conv(x, &format!("{at}.mix"))?;
    x = residual(config).apply(graph, x, &format!("{at}.residual"))?;
    Ok(graph.map(Op::Relu, x))
}

fn decoder(
    config: &VqVae2Config,
    graph: &mut Builder,
    mut x: Value,
    at: &str,
    steps: usize,
) -> Result<Value, GraphError> {
    x = graph.conv(x, &format!("{at}.mix"))?;
    x = residual(config).apply(graph, x, &format!("{at}.residual"))?;
    for step in 0..steps {
        x = graph.map(Op::Relu, x);
        x = double(graph, x, &format!("{at}.up.{step}"))?;
    }
    Ok(x)
}

fn residual(config: &VqVae2Config) -> ResidualBlocks {
    ResidualBlocks { blocks: config.residual_blocks, norm: config.norm, order: config.residual }
}
