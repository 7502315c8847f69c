//! Encoders and decoders as graphs: one file for each type of tokenizer.

mod bias_free;
mod blocks;
mod magvit2;
mod maskgit_vqgan;
mod vqgan;
mod vqvae;
mod vqvae2;

use vqkit_vqvae::TokenizerConfig;

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;

/// What replaces a level's latents (a map) by their codes (a map); levels are numbered coarse first.
pub(crate) type Quantize<'a> = dyn FnMut(&mut Builder, usize, Value) -> Result<Value, GraphError> + 'a;

/// The networks of one type of tokenizer.
pub(crate) trait Network {
    /// Where the weights of every level's quantizer are, coarse first.
    fn quantizers(&self) -> &'static [&'static str];

    /// Hands the latents of every level to `quantize`, coarse first.
    fn encode(&self, graph: &mut Builder, images: Value, quantize: &mut Quantize) -> Result<(), GraphError>;

    /// Codes of every level, maps, coarse first, to images.
    fn decode(&self, graph: &mut Builder, codes: &[Value]) -> Result<Value, GraphError>;
}

/// The networks of a tokenizer; a new type is one line here.
pub(crate) fn network(config: &TokenizerConfig) -> &dyn Network {
    match config {
        TokenizerConfig::VqVae(config) => config,
        TokenizerConfig::VqVae2(config) => config,
        TokenizerConfig::Vqgan(config) => config,
        TokenizerConfig::MaskgitVqgan(config) => config,
        TokenizerConfig::Magvit2(config) => config,
    }
}
