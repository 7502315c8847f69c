//! What holds for every quantizer.

use crate::common::{TRAIN, build, every_config, every_kind, every_started_table, every_table, start, with_metric};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use vqkit_quantizer::{
    BinarySphericalQuantizerConfig, FiniteScalarQuantizerConfig, GradientEstimate, LookupFreeQuantizerConfig, Metric,
    Mode, QuantizerConfig,
};
use vqkit_testing::Draws;
use vqkit_torch::TokenGrid;

const MODES: [Mode; 3] = [Mode::Frozen, Mode::Eval, TRAIN];

/// All but those in which a member draws.
fn deterministic_modes(kind: &str) -> &'static [Mode] {
    if kind == "gumbel" { &MODES[..2] } else { &MODES }
}

/// Latents of 1, 2 or 3 spatial axes.
fn shapes() -> impl Strategy<Value = Vec<i64>> {
    (1..4i64, 1..9i64, prop::collection::vec(1..6i64, 1..=3))
        .prop_map(|(batch, dim, spatial)| [vec![batch, dim], spatial].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tokens_stand_for_the_codes(shape in shapes(), codebook_size in 2..24i64, seed in any::<u32>()) {
        let draws = Draws::new(seed.into());
        let latents = draws.randn(&shape);
        for built in every_kind(codebook_size, &latents) {
            let quantized = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
            prop_assert_eq!(quantized.codes.size(), shape.clone());
            prop_assert_eq!(quantized.grid.spatial(), shape[2..].to_vec());
            quantized.grid.check_range().unwrap();
            prop_assert_eq!(&built.quantizer.lookup(&quantized.grid).unwrap(), &quantized.codes);
        }
    }

    #[test]
    fn tables_give_the_nearest_codes(shape in shapes(), codebook_size in 2..24i64, seed in any::<u32>()) {
        let draws = Draws::new(seed.into());
        let latents = draws.randn(&shape);
        for metric in [Metric::Euclidean, Metric::Cosine] {
            for built in start(&with_metric(&every_table(codebook_size, 0, GradientEstimate::default()), metric), &latents) {
                let codes = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap().codes;
                let compared = if metric == Metric::Cosine { unit(&latents) } else { latents.shallow_clone() };
                let table = built.quantizer.codebooks().remove(0).codes;
                prop_assert!(excess_distance(&compared, &codes, &table) < 1e-5, "{} {:?}", built.kind, metric);
            }
        }
    }

    #[test]
    fn the_order_of_a_batch_does_not_matter(shape in shapes(), seed in any::<u32>()) {
        let draws = Draws::new(seed.into());
        let latents = draws.randn(&shape);
        let order = draws.randperm(shape[0]);
        for built in every_kind(8, &latents) {
            let plain = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
            let mixed = built.quantizer.quantize(&latents.index_select(0, &order), None, Mode::Eval).unwrap();
            prop_assert_eq!(plain.grid.indices.index_select(0, &order), mixed.grid.indices, "{}", built.kind);
            prop_assert!(plain.codes.index_select(0, &order).allclose(&mixed.codes, 1e-5, 1e-6, false), "{}", built.kind);
        }
    }

    #[test]
    fn sequences_are_latents_with_the_axes_the_other_way(batch in 1..4i64, dim in 1..9i64, length in 1..9i64, seed in any::<u32>()) {
        let draws = Draws::new(seed.into());
        let latents = draws.randn(&[batch, dim, length]);
        for built in every_kind(8, &latents) {
            let grid = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
            let sequence = built.quantizer.quantize_sequence(&latents.transpose(1, 2), None, Mode::Eval).unwrap();
            prop_assert_eq!(grid.codes.transpose(1, 2), sequence.codes, "{}", built.kind);
            prop_assert_eq!(grid.grid.indices, sequence.grid.indices, "{}", built.kind);
        }
    }

    #[test]
    fn quantizing_changes_nothing_and_gives_the_same_twice(shape in shapes(), seed in any::<u32>()) {
        let draws = Draws::new(seed.into());
        let latents = draws.randn(&shape);
        for built in every_kind(8, &latents).into_iter().chain(every_started_table(8, 1, &latents)) {
            let before = built.state();
            for mode in deterministic_modes(built.kind) {
                let quantize = || built.quantizer.quantize(&latents, None, *mode).unwrap();
                let (once, twice) = (quantize(), quantize());
                prop_assert_eq!(once.codes, twice.codes);
                prop_assert_eq!(once.grid.indices, twice.grid.indices);
                prop_assert_eq!(once.losses.total, twice.losses.total);
            }
            prop_assert_eq!(before, built.state());
        }
    }
}

/// By how much the worst choice of a code is farther than the nearest one, squared and in f64.
fn excess_distance(latents: &Tensor, codes: &Tensor, table: &Tensor) -> f64 {
    let rows = |x: &Tensor| x.movedim_int(1, -1).reshape([-1, table.size()[1]]).to_kind(Kind::Double);
    let squares = |x: Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
    let (points, chosen) = (rows(latents), rows(codes));
    let all = squares(points.unsqueeze(1) - table.detach().to_kind(Kind::Double).unsqueeze(0));
    (squares(points - chosen) - all.amin([-1], false)).max().double_value(&[])
}

/// Latents `[B, D, *S]` of length 1.
fn unit(latents: &Tensor) -> Tensor {
    latents / latents.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt()
}

/// All indices of one codebook as a grid `[1, 1, K]`.
fn all_indices(size: i64) -> TokenGrid {
    TokenGrid::new(Tensor::arange(size, (Kind::Int64, Device::Cpu)).view([1, 1, -1]), vec![size]).unwrap()
}

#[test]
fn indices_of_finite_scalars_come_back_over_the_whole_range() {
    for levels in [&[2][..], &[3, 2], &[8, 5, 5, 5], &[8, 8, 8, 5, 5, 5], &[256, 256, 256]] {
        for preserve_symmetry in [false, true] {
            let config = FiniteScalarQuantizerConfig { levels: levels.to_vec(), preserve_symmetry };
            let vs = tch::nn::VarStore::new(Device::Cpu);
            let quantizer = config.build(&vs.root(), levels.len() as i64).unwrap();
            let grid = all_indices(levels.iter().product());
            let codes = vqkit_quantizer::Quantizer::lookup(&quantizer, &grid).unwrap();
            assert_eq!(quantizer.codes_to_indices(&codes).unwrap().indices, grid.indices, "{levels:?}");
            assert!(codes.abs().max().double_value(&[]) <= 1.0 + 1e-6, "{levels:?}");
        }
    }
}

#[test]
fn indices_of_signs_come_back_over_the_whole_range() {
    for bits in [1, 2, 10, 14] {
        let lfq = LookupFreeQuantizerConfig::new(1 << bits);
        let bsq = BinarySphericalQuantizerConfig(lfq.clone());
        for config in [QuantizerConfig::LookupFree(lfq), QuantizerConfig::BinarySpherical(bsq)] {
            let quantizer = build(&config, bits).quantizer;
            let grid = all_indices(1 << bits);
            let again = quantizer.quantize(&quantizer.lookup(&grid).unwrap(), None, Mode::Eval).unwrap();
            assert_eq!(again.grid.indices, grid.indices, "{}", config.type_name());
        }
    }
}

#[test]
fn every_code_is_reached() {
    let draws = Draws::new(1);
    for config in every_config(8) {
        // As many dimensions as levels or bits: no projection, drawn at random, decides what is reached.
        let dim = if matches!(config, QuantizerConfig::FiniteScalar(_)) { 2 } else { 3 };
        let spread = draws.randn(&[1, dim, 8000]) * 4.0;
        let built = start(&[config], &spread).remove(0);
        // Codes that others hem in have few latents of the spread; each has itself.
        let whole = built.quantizer.codebooks().into_iter().map(|codebook| codebook.codes);
        let own = whole.filter(|codes| codes.size()[1] == dim).map(|codes| codes.tr().unsqueeze(0));
        let latents = Tensor::cat(&std::iter::once(spread).chain(own).collect::<Vec<_>>(), 2);
        let seen = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap().grid.indices;
        for (q, size) in built.quantizer.codebook_sizes().into_iter().enumerate() {
            let codes = built.quantizer.codebooks().remove(q).codes;
            let distinct = codes.unique_dim(0, true, false, false).0.size()[0];
            let used = seen.select(1, q as i64).flatten(0, -1).bincount(None::<&Tensor>, size).gt(0).sum(Kind::Int64);
            // A choice by the largest product or logit passes codes over that others surpass in every direction.
            let wanted = if matches!(built.kind, "gumbel" | "ibq") { 2 } else { distinct };
            let used = used.int64_value(&[]);
            assert!(used >= wanted, "{}: {used} of {size} codes", built.kind);
        }
    }
}
