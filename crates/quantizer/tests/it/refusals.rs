//! What quantizers refuse, and how they say it.

use crate::common::{TRAIN, build, every_config, every_kind, every_table};
use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    Anneal, AnnealCurve, BinarySphericalQuantizerConfig, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig,
    GradientEstimate, GumbelQuantizerConfig, IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, Metric,
    Mode, ProductQuantizerConfig, QuantizeError, QuantizerConfig, ResidualQuantizerConfig, SimVectorQuantizerConfig,
    Usage, VectorQuantizerConfig,
};
use vqkit_testing::Draws;
use vqkit_torch::TokenGrid;

/// Latents of a shape, whatever they are.
fn latents_of(shape: &[i64]) -> Tensor {
    Draws::new(1).randn(shape)
}

fn grid(indices: &[i64], size: i64) -> TokenGrid {
    TokenGrid::new(Tensor::from_slice(indices).view([1, 1, -1]), vec![size]).unwrap()
}

#[test]
fn latents_of_another_width_or_rank_are_refused() {
    for config in every_config(4) {
        let built = build(&config, 3);
        let refuse = |latents: &Tensor| built.quantizer.quantize(latents, None, Mode::Eval).unwrap_err().to_string();
        assert_eq!(refuse(&latents_of(&[2, 5, 4])), "latents have 5 channels, the quantizer was built for 3");
        assert_eq!(refuse(&latents_of(&[2, 3])), "latents must have shape [B, 3, *S], got [2, 3]");
    }
}

#[test]
fn a_codebook_does_not_start_from_nothing() {
    for config in every_table(4, 0, GradientEstimate::default()) {
        assert!(build(&config, 3).quantizer.initialize(&latents_of(&[0, 3, 4])).is_err());
    }
}

#[test]
fn masks_of_another_shape_or_kind_are_refused() {
    let latents = latents_of(&[2, 3, 4]);
    let dropping = ResidualQuantizerConfig { quantize_dropout: 1.0, ..ResidualQuantizerConfig::new(2, table()) };
    let dropping = build(&QuantizerConfig::Residual(dropping), 3);
    for built in every_kind(4, &latents).into_iter().chain([dropping]) {
        for mask in [Tensor::ones([2, 5], (Kind::Bool, Device::Cpu)), latents_of(&[2, 4])] {
            let error = built.quantizer.quantize(&latents, Some(&mask), TRAIN).unwrap_err();
            assert!(error.to_string().starts_with("mask must have shape [2, 4] and kind Bool"), "{error}");
        }
    }
}

#[test]
fn grids_of_another_codebook_are_refused() {
    for built in every_kind(4, &latents_of(&[2, 3, 4])) {
        let sizes = built.quantizer.codebook_sizes();
        let all = |index| Tensor::full([1, sizes.len() as i64, 2], index, (Kind::Int64, Device::Cpu));
        let lookup =
            |index, sizes: &[i64]| built.quantizer.lookup(&TokenGrid::new(all(index), sizes.to_vec()).unwrap());
        assert!(matches!(lookup(sizes[0], &sizes), Err(QuantizeError::Tokens(_))), "{}", built.kind);
        let other: Vec<i64> = sizes.iter().map(|size| size + 1).collect();
        assert!(matches!(lookup(0, &other), Err(QuantizeError::Shape { .. })), "{}", built.kind);
    }
    let mut usage = Usage::new(&[4], Device::Cpu);
    assert!(matches!(usage.add(&grid(&[0], 5)), Err(QuantizeError::Shape { .. })));
}

#[test]
fn values_out_of_range_name_their_key() {
    let vq = VectorQuantizerConfig::new(8);
    let ema = EmaVectorQuantizerConfig::new(8);
    let gumbel = GumbelQuantizerConfig::new(8);
    let anneal = |end, steps| Anneal { end, steps, curve: AnnealCurve::default() };
    let wrong = [
        ("codebook_size", QuantizerConfig::Vq(VectorQuantizerConfig { codebook_size: 1, ..vq.clone() })),
        ("codebook_weight", QuantizerConfig::Vq(VectorQuantizerConfig { codebook_weight: -1.0, ..vq.clone() })),
        ("commitment_weight", QuantizerConfig::Vq(VectorQuantizerConfig { commitment_weight: f64::NAN, ..vq.clone() })),
        ("codebook_size", QuantizerConfig::Ema(EmaVectorQuantizerConfig { codebook_size: i64::MAX, ..ema.clone() })),
        ("decay", QuantizerConfig::Ema(EmaVectorQuantizerConfig { decay: 1.0, ..ema.clone() })),
        ("eps", QuantizerConfig::Ema(EmaVectorQuantizerConfig { eps: 0.0, ..ema.clone() })),
        ("codebook_size", QuantizerConfig::Gumbel(GumbelQuantizerConfig { codebook_size: 0, ..gumbel.clone() })),
        ("embedding_dim", QuantizerConfig::Gumbel(GumbelQuantizerConfig { embedding_dim: Some(0), ..gumbel.clone() })),
        ("kl_weight", QuantizerConfig::Gumbel(GumbelQuantizerConfig { kl_weight: -1.0, ..gumbel.clone() })),
        ("temp_init", QuantizerConfig::Gumbel(GumbelQuantizerConfig { temp_init: 0.0, ..gumbel.clone() })),
        ("anneal", QuantizerConfig::Gumbel(GumbelQuantizerConfig { anneal: Some(anneal(0.0, 10)), ..gumbel.clone() })),
        ("anneal", QuantizerConfig::Gumbel(GumbelQuantizerConfig { anneal: Some(anneal(0.5, 0)), ..gumbel.clone() })),
    ];
    for (key, config) in wrong.into_iter().chain(wrong_without_table()).chain(wrong_composites()) {
        let refused = config.build(&nn::VarStore::new(Device::Cpu).root(), 3).unwrap_err();
        assert!(matches!(refused, QuantizeError::Config { field, .. } if field == key), "{key}: {refused}");
    }
    let refused = QuantizerConfig::Vq(vq).build(&nn::VarStore::new(Device::Cpu).root(), 0).unwrap_err();
    assert!(matches!(refused, QuantizeError::Config { field: "dim", .. }));
}

fn table() -> QuantizerConfig {
    QuantizerConfig::Vq(VectorQuantizerConfig::new(8))
}

#[test]
fn updates_by_what_was_made_of_other_latents_are_refused() {
    let latents = latents_of(&[2, 3, 4]);
    for mut built in every_table(4, 0, GradientEstimate::default()).iter().map(|config| build(config, 3)) {
        let quantized = built.quantizer.quantize(&latents, None, TRAIN).unwrap();
        assert!(matches!(
            built.quantizer.update(&latents_of(&[2, 3, 5]), &quantized),
            Err(QuantizeError::Shape { .. })
        ));
    }
    let one = build(&table(), 3).quantizer.quantize(&latents, None, TRAIN).unwrap();
    let mut residual = build(&QuantizerConfig::Residual(ResidualQuantizerConfig::new(2, table())), 3);
    assert!(matches!(residual.quantizer.update(&latents, &one), Err(QuantizeError::Shape { what: "inner", .. })));
}

fn wrong_without_table() -> Vec<(&'static str, QuantizerConfig)> {
    let fsq = |levels: &[i64]| QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(levels));
    let lfq = LookupFreeQuantizerConfig::new(8);
    let lookup_free = |config| QuantizerConfig::LookupFree(config);
    let factorized = |bits: &[i64]| LookupFreeQuantizerConfig { factorized_bits: Some(bits.to_vec()), ..lfq.clone() };
    let bsq = |config| QuantizerConfig::BinarySpherical(BinarySphericalQuantizerConfig(config));
    vec![
        ("levels", fsq(&[])),
        ("levels", fsq(&[8, 1])),
        ("levels", fsq(&[256, 256, 256, 2])),
        ("levels", fsq(&[1001])),
        ("levels", fsq(&[i64::MAX, i64::MAX])),
        ("codebook_size", lookup_free(LookupFreeQuantizerConfig::new(12))),
        ("codebook_size", bsq(LookupFreeQuantizerConfig::new(1))),
        ("entropy_fraction", lookup_free(LookupFreeQuantizerConfig { entropy_fraction: 0.0, ..lfq.clone() })),
        ("inv_temperature", bsq(LookupFreeQuantizerConfig { inv_temperature: 0.0, ..lfq.clone() })),
        ("entropy_floor", lookup_free(LookupFreeQuantizerConfig { entropy_floor: -1.0, ..lfq.clone() })),
        ("entropy_eps", lookup_free(LookupFreeQuantizerConfig { entropy_eps: -1.0, ..lfq.clone() })),
        ("factorized_bits", lookup_free(factorized(&[2, 2]))),
        ("factorized_bits", lookup_free(factorized(&[3, 0]))),
        ("factorized_bits", bsq(factorized(&[i64::MAX, i64::MAX]))),
        (
            "entropy_anneal",
            lookup_free(LookupFreeQuantizerConfig {
                entropy_weight: 0.0,
                entropy_anneal: Some(Anneal { end: 0.1, steps: 9, curve: AnnealCurve::Exponential }),
                ..lfq
            }),
        ),
    ]
}

fn wrong_composites() -> Vec<(&'static str, QuantizerConfig)> {
    let vq = table();
    let cosine = VectorQuantizerConfig { metric: Metric::Cosine, ..VectorQuantizerConfig::new(8) };
    let fsq = QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(&[8]));
    let residual = ResidualQuantizerConfig::new(2, vq.clone());
    let simvq = SimVectorQuantizerConfig { frozen_codebook_dim: Some(0), ..SimVectorQuantizerConfig::new(8) };
    let ibq =
        IndexBackpropagationQuantizerConfig { entropy_temperature: 0.0, ..IndexBackpropagationQuantizerConfig::new(8) };
    vec![
        (
            "num_quantizers",
            QuantizerConfig::Residual(ResidualQuantizerConfig { num_quantizers: 0, ..residual.clone() }),
        ),
        ("quantize_dropout", QuantizerConfig::Residual(ResidualQuantizerConfig { quantize_dropout: 1.5, ..residual })),
        ("quantizer", QuantizerConfig::Residual(ResidualQuantizerConfig::new(2, fsq))),
        ("quantizer", QuantizerConfig::Residual(ResidualQuantizerConfig::new(2, QuantizerConfig::Vq(cosine)))),
        ("groups", QuantizerConfig::Product(ProductQuantizerConfig::new(0, vq.clone()))),
        ("groups", QuantizerConfig::Product(ProductQuantizerConfig::new(2, vq.clone()))),
        (
            "codebook_dim",
            QuantizerConfig::Product(ProductQuantizerConfig {
                codebook_dim: Some(0),
                ..ProductQuantizerConfig::new(3, vq)
            }),
        ),
        ("frozen_codebook_dim", QuantizerConfig::Sim(simvq)),
        (
            "sample_minimization_weight",
            QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig {
                sample_minimization_weight: -1.0,
                ..IndexBackpropagationQuantizerConfig::new(8)
            }),
        ),
        (
            "batch_maximization_weight",
            QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig {
                batch_maximization_weight: f64::NAN,
                ..IndexBackpropagationQuantizerConfig::new(8)
            }),
        ),
        ("entropy_temperature", QuantizerConfig::IndexBackpropagation(ibq)),
    ]
}

#[test]
fn recipes_take_defaults_and_no_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<QuantizerConfig>(text);
    let config = read(r#"{"type": "ema", "codebook_size": 512}"#).unwrap();
    assert_eq!(config, QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(512)));
    let config = read(r#"{"type": "vq", "codebook_size": 16, "gradient": "rotation"}"#).unwrap();
    let want = VectorQuantizerConfig { gradient: GradientEstimate::Rotation, ..VectorQuantizerConfig::new(16) };
    assert_eq!(config, QuantizerConfig::Vq(want));
    let text = r#"{"type": "gumbel", "codebook_size": 16, "anneal": {"end": 0.1, "steps": 9, "curve": "exponential"}}"#;
    let anneal = Some(Anneal { end: 0.1, steps: 9, curve: AnnealCurve::Exponential });
    let want = GumbelQuantizerConfig { anneal, ..GumbelQuantizerConfig::new(16) };
    assert_eq!(read(text).unwrap(), QuantizerConfig::Gumbel(want));
    let text = r#"{"type": "residual", "num_quantizers": 4, "quantizer": {"type": "vq", "codebook_size": 16}}"#;
    let level = QuantizerConfig::Vq(VectorQuantizerConfig::new(16));
    assert_eq!(read(text).unwrap(), QuantizerConfig::Residual(ResidualQuantizerConfig::new(4, level)));
    let bsq = read(r#"{"type": "bsq", "codebook_size": 16}"#).unwrap();
    assert_eq!(serde_json::to_value(&bsq).unwrap()["type"], "bsq");
    assert!(read(r#"{"type": "bsq", "codebook_size": 16, "levels": [2]}"#).unwrap_err().to_string().contains("levels"));
    assert!(read(r#"{"type": "vq", "codebook_size": 16, "decay": 0.9}"#).unwrap_err().to_string().contains("decay"));
    assert!(read(r#"{"type": "vqq", "codebook_size": 16}"#).unwrap_err().to_string().contains("vqq"));
}

#[test]
fn codebooks_that_no_memory_holds_are_refused_before_they_are_made() {
    const MOST: i64 = 1 << 24;
    let vs = nn::VarStore::new(Device::Cpu);
    let one = || QuantizerConfig::Vq(VectorQuantizerConfig::new(MOST));
    for config in [
        one(),
        QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(MOST)),
        QuantizerConfig::Residual(ResidualQuantizerConfig::new(4, one())),
        QuantizerConfig::Product(ProductQuantizerConfig::new(2, one())),
    ] {
        let message = config.build(&vs.root(), 1 << 20).err().unwrap().to_string();
        assert!(message.starts_with("codebooks of ") && message.contains("would take"), "{message}");
    }
    assert!(vs.is_empty());
    for config in every_config(4) {
        let vs = nn::VarStore::new(Device::Cpu);
        config.build(&vs.root(), 3).unwrap();
        let built: i64 = vs.variables().values().map(|variable| variable.numel() as i64).sum();
        assert!(config.least_parameters(3) <= built, "{}", config.type_name());
    }
}
