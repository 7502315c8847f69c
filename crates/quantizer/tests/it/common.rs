//! Every quantizer, for the tests that hold for all of them.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    EmaVectorQuantizerConfig, GradientEstimate, Mode, Quantizer, QuantizerConfig, VectorQuantizerConfig,
};

pub const TRAIN: Mode = Mode::Train { step: 0 };

/// A quantizer and the variables it keeps.
pub struct Built {
    pub kind: &'static str,
    pub vs: nn::VarStore,
    pub quantizer: Box<dyn Quantizer>,
}

impl Built {
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.vs.variables().into_iter().map(|(name, variable)| (name, variable.detach().copy())).collect()
    }

    pub fn variable(&self, name: &str) -> Tensor {
        self.vs.variables()[name].shallow_clone()
    }
}

/// One configuration of every member.
pub fn every_config(codebook_size: i64, revive_after: u64, gradient: GradientEstimate) -> Vec<QuantizerConfig> {
    let vq = VectorQuantizerConfig { revive_after, gradient, ..VectorQuantizerConfig::new(codebook_size) };
    let ema = EmaVectorQuantizerConfig { revive_after, gradient, ..EmaVectorQuantizerConfig::new(codebook_size) };
    let all = vec![QuantizerConfig::Vq(vq), QuantizerConfig::Ema(ema)];
    assert_eq!(all.iter().map(QuantizerConfig::type_name).collect::<Vec<_>>(), QuantizerConfig::TYPES);
    all
}

pub fn build(config: &QuantizerConfig, dim: i64) -> Built {
    let vs = nn::VarStore::new(Device::Cpu);
    let quantizer = config.build(&vs.root(), dim).unwrap();
    Built { kind: config.type_name(), vs, quantizer }
}

/// One of every member, started from `latents`.
pub fn every_kind(codebook_size: i64, revive_after: u64, latents: &Tensor) -> Vec<Built> {
    let configs = every_config(codebook_size, revive_after, GradientEstimate::StraightThrough);
    let start = |config: &QuantizerConfig| {
        let mut built = build(config, latents.size()[1]);
        built.quantizer.initialize(latents).unwrap();
        built
    };
    configs.iter().map(start).collect()
}

pub fn randn(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}
