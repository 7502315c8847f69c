//! `type = "vqvae"`.

use vqkit_vqvae::{NormKind, Output, VqVaeConfig};

use super::blocks::{ResidualBlocks, double, halve, norm};
use super::{Network, Quantize};
use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;
use crate::op::Op;

impl Network for VqVaeConfig {
    fn quantizers(&self) -> &'static [&'static str] {
        &["quantize"]
    }

    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError> {
        let mut x = images;
        for step in 0..steps(self) {
            if step > 0 {
                x = graph.map(Op::Relu, x);
            }
            x = halve(graph, x, &format!("encoder.down.{step}"))?;
            x = norm(graph, x, norm_of(self, step), &format!("encoder.down_norm.{step}"))?;
        }
        x = residual(self).apply(graph, x, "encoder.residual")?;
        if self.embed_dim.is_some() {
            x = graph.map(Op::Relu, x);
            x = graph.conv(x, "encoder.project")?;
        }
        let latents = norm(graph, x, self.latent_norm, "encoder.latent_norm")?;
        quantize(graph, 0, latents).map(drop)
    }

    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError> {
        let mut x = codes[0];
        if self.embed_dim.is_some() {
            x = graph.conv(x, "decoder.expand")?;
        }
        x = residual(self).apply(graph, x, "decoder.residual")?;
        for step in 0..steps(self) {
            x = graph.map(Op::Relu, x);
            x = double(graph, x, &format!("decoder.up.{step}"))?;
            x = norm(graph, x, norm_of(self, step), &format!("decoder.up_norm.{step}"))?;
        }
        Ok(match self.output {
            Output::Linear => x,
            Output::Tanh => graph.map(Op::Tanh, x),
        })
    }
}

/// How many times the image is halved.
fn steps(config: &VqVaeConfig) -> u32 {
    config.downsampling.ilog2()
}

/// Normalisation after a halving or doubling; there is none after the last.
fn norm_of(config: &VqVaeConfig, step: u32) -> NormKind {
    if step + 1 == steps(config) { NormKind::None } else { config.norm }
}

fn residual(config: &VqVaeConfig) -> ResidualBlocks {
    ResidualBlocks { blocks: config.residual_blocks, norm: config.norm, order: config.residual }
}
