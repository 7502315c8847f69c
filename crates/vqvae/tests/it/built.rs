//! Tokenizers with the weights of an original implementation.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::{Device, Tensor, nn};
use vqkit_quantizer::QuantizerConfig;
use vqkit_torch::weights;
use vqkit_vqvae::{Tokenizer, TokenizerConfig, VqganConfig};

pub type Tensors = BTreeMap<String, Tensor>;

/// What our quantizers keep beside the weights of an original.
const STATE: [&str; 2] = ["quantize.age", "quantize.initted"];

/// A tokenizer and its variables by our names.
pub struct Built {
    pub variables: Tensors,
    pub tokenizer: Tokenizer,
}

/// The tokenizer with the weights that `theirs` finds for the name and the shape of each of our variables, but for the
/// state of our quantizer.
pub fn build(
    config: &TokenizerConfig,
    quantizer: &QuantizerConfig,
    channels: i64,
    mut theirs: impl FnMut(&str, &[i64]) -> Tensor,
) -> Built {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = config.build(&vs.root(), channels, quantizer).unwrap();
    let variables = weights::tensors(&vs);
    let value = |(name, variable): (&String, &Tensor)| {
        let is_state = STATE.contains(&name.as_str());
        let value = if is_state { variable.copy() } else { theirs(name, &variable.size()) };
        (name.clone(), value)
    };
    let values = variables.iter().map(value).collect();
    weights::assign(&values, &mut vs).unwrap();
    Built { variables, tokenizer }
}

/// Takes a tensor out of those of an original, so that what is left over at the end is what nobody asked for.
pub fn take(theirs: &mut Tensors, name: &str) -> Tensor {
    theirs.remove(name).unwrap_or_else(|| panic!("the original has no {name}"))
}

/// The `ddconfig` of taming-transformers is ours, but for `embed_dim`, which stands beside it, and resolutions that no level
/// has, which upstream passes over and ours refuses.
pub fn taming_network(config: &Value) -> VqganConfig {
    let mut own = config["ddconfig"].clone();
    own["embed_dim"] = config["embed_dim"].clone();
    let mut network: VqganConfig = serde_json::from_value(own).unwrap();
    let levels: Vec<i64> = (0..network.ch_mult.len()).map(|level| network.resolution >> level).collect();
    network.attn_resolutions.retain(|side| levels.contains(side));
    network
}
