//! Quantizers as graphs: latents (rows `[B, N, D]`) to indices (`[B, N, 1]`, one a codebook), and indices to codes (rows).

mod composite;
mod digits;
mod logits;
mod projection;
mod quantizer;
mod scalars;
mod signs;
mod table;

use vqkit_quantizer::QuantizerConfig;

pub(crate) use quantizer::Quantizer;

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
        QuantizerConfig::Residual(config) => Box::new(composite::Residual::new(config, quantizer(&config.quantizer))),
        QuantizerConfig::Product(config) => Box::new(composite::Product::new(config, quantizer(&config.quantizer))),
    }
}
