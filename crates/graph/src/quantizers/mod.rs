//! Quantizers as graphs: latents (rows `[B, N, D]`) to indices (`[B, N, 1]`, one a codebook), and indices to codes (rows).

mod composite;
mod logits;
mod scalars;
mod signs;
mod table;

use vqkit_quantizer::QuantizerConfig;

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;

/// One type of quantizer, with its weights at `at`, for latents of width `dim`.
pub(crate) trait Quantizer {
    /// Number of codebooks.
    fn codebooks(&self) -> usize {
        1
    }

    /// The indices of latents, one value a codebook.
    fn choose(&self, graph: &mut Builder, at: &str, dim: i64, latents: Value) -> Result<Vec<Value>, GraphError>;

    /// The codes of indices, of which there are as many as [`codebooks`](Self::codebooks).
    fn lookup(&self, graph: &mut Builder, at: &str, dim: i64, indices: &[Value]) -> Result<Value, GraphError>;
}

/// The quantizer of a configuration; a new type is one line here.
pub(crate) fn quantizer(config: &QuantizerConfig) -> Box<dyn Quantizer + '_> {
    match config {
        QuantizerConfig::Vq(config) => Box::new(table::Nearest { metric: config.metric }),
        QuantizerConfig::Ema(config) => Box::new(table::Nearest { metric: config.metric }),
        QuantizerConfig::Sim(_) => Box::new(table::Transformed),
        QuantizerConfig::Gumbel(_) => Box::new(logits::Projected),
        QuantizerConfig::IndexBackpropagation(_) => Box::new(logits::LargestProduct),
        QuantizerConfig::FiniteScalar(config) => Box::new(scalars::Rounded::new(config)),
        QuantizerConfig::LookupFree(config) => Box::new(signs::Signs::new(config, false)),
        QuantizerConfig::BinarySpherical(config) => Box::new(signs::Signs::new(&config.0, true)),
        QuantizerConfig::Residual(config) => Box::new(composite::Residual::new(config)),
        QuantizerConfig::Product(config) => Box::new(composite::Product::new(config)),
    }
}
