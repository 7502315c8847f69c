//! What holds for every quantizer.

use crate::common::{TRAIN, every_kind, every_started_table, randn};
use proptest::prelude::*;
use tch::{Kind, Tensor};
use vqkit_quantizer::Mode;

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
        tch::manual_seed(i64::from(seed));
        let latents = randn(&shape);
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
        tch::manual_seed(i64::from(seed));
        let latents = randn(&shape);
        for built in every_started_table(codebook_size, 0, &latents) {
            let codes = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap().codes;
            prop_assert!(excess_distance(&latents, &codes, &built.variable("embedding.weight")) < 1e-5);
        }
    }

    #[test]
    fn quantizing_changes_nothing_and_gives_the_same_twice(shape in shapes(), seed in any::<u32>()) {
        tch::manual_seed(i64::from(seed));
        let latents = randn(&shape);
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
