//! Every quantizer, for the tests that hold for all of them.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GradientEstimate,
    GumbelQuantizerConfig, IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Metric, Mode,
    ProductQuantizerConfig, Quantizer, QuantizerConfig, ResidualQuantizerConfig, SimVectorQuantizerConfig,
    VectorQuantizerConfig,
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

/// One configuration of every member that keeps a table of codes near the latents.
pub fn every_table(codebook_size: i64, revive_after: u64, gradient: GradientEstimate) -> Vec<QuantizerConfig> {
    let vq = VectorQuantizerConfig { revive_after, gradient, ..VectorQuantizerConfig::new(codebook_size) };
    let ema = EmaVectorQuantizerConfig { revive_after, gradient, ..EmaVectorQuantizerConfig::new(codebook_size) };
    vec![QuantizerConfig::Vq(vq), QuantizerConfig::Ema(ema)]
}

/// The same tables, compared by another metric.
pub fn with_metric(tables: &[QuantizerConfig], metric: Metric) -> Vec<QuantizerConfig> {
    let change = |config: &QuantizerConfig| match config {
        QuantizerConfig::Vq(vq) => QuantizerConfig::Vq(VectorQuantizerConfig { metric, ..vq.clone() }),
        QuantizerConfig::Ema(ema) => QuantizerConfig::Ema(EmaVectorQuantizerConfig { metric, ..ema.clone() }),
        other => panic!("{} has no metric", other.type_name()),
    };
    tables.iter().map(change).collect()
}

/// One configuration of every member.
pub fn every_config(codebook_size: i64) -> Vec<QuantizerConfig> {
    let mut all = every_table(codebook_size, 0, GradientEstimate::default());
    all.push(QuantizerConfig::Gumbel(GumbelQuantizerConfig::new(codebook_size)));
    all.push(QuantizerConfig::Sim(SimVectorQuantizerConfig::new(codebook_size)));
    all.push(QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig::new(codebook_size)));
    all.push(QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(&[codebook_size, 3])));
    let bits = LookupFreeQuantizerConfig::new(1 << codebook_size.ilog2());
    all.push(QuantizerConfig::LookupFree(bits.clone()));
    all.push(QuantizerConfig::BinarySpherical(BinarySphericalQuantizerConfig(bits)));
    let table = all[1].clone();
    all.push(QuantizerConfig::Residual(ResidualQuantizerConfig::new(3, table.clone())));
    all.push(QuantizerConfig::Product(ProductQuantizerConfig {
        codebook_dim: Some(2),
        ..ProductQuantizerConfig::new(2, table)
    }));
    assert_eq!(all.iter().map(QuantizerConfig::type_name).collect::<Vec<_>>(), QuantizerConfig::TYPES);
    all
}

pub fn build(config: &QuantizerConfig, dim: i64) -> Built {
    let vs = nn::VarStore::new(Device::Cpu);
    let quantizer = config.build(&vs.root(), dim).unwrap();
    Built { kind: config.type_name(), vs, quantizer }
}

/// One of every member that keeps a table of codes, started from `latents`.
pub fn every_started_table(codebook_size: i64, revive_after: u64, latents: &Tensor) -> Vec<Built> {
    start(&every_table(codebook_size, revive_after, GradientEstimate::default()), latents)
}

/// One of every member, started from `latents`.
pub fn every_kind(codebook_size: i64, latents: &Tensor) -> Vec<Built> {
    start(&every_config(codebook_size), latents)
}

pub fn start(configs: &[QuantizerConfig], latents: &Tensor) -> Vec<Built> {
    let start = |config: &QuantizerConfig| {
        let mut built = build(config, latents.size()[1]);
        built.quantizer.initialize(latents).unwrap();
        built
    };
    configs.iter().map(start).collect()
}

/// A sequence `[B, n, D]` as latents `[B, D, n]`, and back; images `[B, D, h, w]` stay.
pub fn channel_first(x: &Tensor) -> Tensor {
    if x.dim() == 3 { x.transpose(1, 2) } else { x.shallow_clone() }
}

/// The tensors of one case of a golden that records several: `CASE.NAME` as `NAME`.
pub fn of_case(tensors: &BTreeMap<String, Tensor>, case: &str) -> BTreeMap<String, Tensor> {
    let prefix = format!("{case}.");
    let of_case = tensors.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, value)));
    of_case.map(|(name, value)| (name.to_owned(), value.shallow_clone())).collect()
}

/// `cos(j)` of the flat index `j` of every element.
pub fn probe_of_cosines(like: &Tensor) -> Tensor {
    let flat = Tensor::arange(like.numel() as i64, (Kind::Double, Device::Cpu));
    flat.cos().to_kind(Kind::Float).view_as(like)
}
