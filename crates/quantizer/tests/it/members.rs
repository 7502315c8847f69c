//! What single members promise beside what holds for all.

use crate::common::{Built, TRAIN, build, every_kind};
use tch::{Device, Kind, Tensor};
use vqkit_quantizer::{
    Anneal, AnnealCurve, BitOrder, EmaVectorQuantizerConfig, IndexBackpropagationQuantizerConfig,
    LookupFreeQuantizerConfig, Mode, ProductQuantizerConfig, QuantizerConfig, ResidualQuantizerConfig,
    SimVectorQuantizerConfig, VectorQuantizerConfig,
};
use vqkit_testing::Draws;

fn started(config: &QuantizerConfig, latents: &Tensor) -> Built {
    let mut built = build(config, latents.size()[1]);
    built.quantizer.initialize(latents).unwrap();
    built
}

fn ema(codebook_size: i64) -> QuantizerConfig {
    QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(codebook_size))
}

fn residual(quantize_dropout: f64) -> QuantizerConfig {
    QuantizerConfig::Residual(ResidualQuantizerConfig { quantize_dropout, ..ResidualQuantizerConfig::new(3, ema(4)) })
}

#[test]
fn the_gradient_of_the_codes_reaches_the_latents_unchanged() {
    let draws = Draws::new(1);
    let lfq = QuantizerConfig::LookupFree(LookupFreeQuantizerConfig::new(16));
    let product = QuantizerConfig::Product(ProductQuantizerConfig::new(2, ema(4)));
    for config in [residual(0.0), product, lfq] {
        let (latents, probe) = (draws.randn(&[2, 4, 3, 3]).set_requires_grad(true), draws.randn(&[2, 4, 3, 3]));
        let built = started(&config, &latents.detach());
        let codes = built.quantizer.quantize(&latents, None, TRAIN).unwrap().codes;
        (codes * &probe).sum(Kind::Float).backward();
        assert_eq!(latents.grad(), probe, "{}", built.kind);
    }
}

#[test]
fn nothing_is_trained_while_the_codebook_keeps_still() {
    let draws = Draws::new(2);
    let latents = draws.randn(&[2, 5, 4]);
    for built in every_kind(8, &latents) {
        for mode in [Mode::Frozen, Mode::Eval] {
            let latents = latents.copy().set_requires_grad(true);
            let quantized = built.quantizer.quantize(&latents, None, mode).unwrap();
            (quantized.codes.sum(Kind::Float) + quantized.losses.total).backward();
            assert!(latents.grad().defined(), "{} {mode:?}", built.kind);
            let moved = built.vs.variables().into_iter().find(|(_, variable)| variable.grad().defined());
            assert!(moved.is_none(), "{} {mode:?}: {moved:?}", built.kind);
        }
    }
}

#[test]
fn every_trained_variable_gets_a_gradient() {
    let draws = Draws::new(3);
    let latents = draws.randn(&[2, 5, 6]);
    for built in every_kind(8, &latents) {
        let latents = latents.copy().set_requires_grad(true);
        let quantized = built.quantizer.quantize(&latents, None, TRAIN).unwrap();
        (quantized.codes.square().sum(Kind::Float) + quantized.losses.total).backward();
        for variable in built.vs.trainable_variables() {
            assert!(
                variable.grad().defined() && variable.grad().isfinite().all().int64_value(&[]) == 1,
                "{}",
                built.kind
            );
        }
    }
}

#[test]
fn in_low_precision_the_tokens_are_those_of_the_same_latents_in_f32() {
    let draws = Draws::new(4);
    let latents = draws.randn(&[2, 5, 4, 4]).to_kind(Kind::BFloat16);
    for built in every_kind(32, &latents.to_kind(Kind::Float)) {
        let quantize = |latents: &Tensor| built.quantizer.quantize(latents, None, Mode::Eval).unwrap();
        let inside = vqkit_torch::autocast::with(Device::Cpu, Kind::BFloat16, || quantize(&latents));
        let outside = quantize(&latents.to_kind(Kind::Float));
        assert_eq!(inside.grid.indices, outside.grid.indices, "{}", built.kind);
        assert_eq!(inside.codes, outside.codes, "{}", built.kind);
        assert_eq!(inside.losses.total, outside.losses.total, "{}", built.kind);
    }
}

#[test]
fn masked_positions_count_in_no_loss() {
    let draws = Draws::new(11);
    let (kept, junk) = (draws.randn(&[2, 5, 6]), draws.randn(&[2, 5, 3]) * 100.0);
    let mask = Tensor::arange(9, (Kind::Int64, Device::Cpu)).lt(6).expand([2, 9], false);
    for built in every_kind(8, &kept) {
        let quantize = |latents: &Tensor, mask| built.quantizer.quantize(latents, mask, Mode::Eval).unwrap().losses;
        let (alone, masked) = (quantize(&kept, None), quantize(&Tensor::cat(&[&kept, &junk], 2), Some(&mask)));
        for (term, alone, masked) in [
            ("total", alone.total, masked.total),
            ("commitment", alone.commitment, masked.commitment),
            ("entropy", alone.entropy, masked.entropy),
        ] {
            assert!(alone.allclose(&masked, 1e-4, 1e-5, false), "{} {term}: {alone} {masked}", built.kind);
        }
    }
}

#[test]
fn sampled_codes_are_near_ones_and_only_training_samples() {
    let draws = Draws::new(5);
    let latents = draws.randn(&[4, 2, 200]);
    let vq = VectorQuantizerConfig { sample_temperature: 0.5, ..VectorQuantizerConfig::new(16) };
    let ema = EmaVectorQuantizerConfig { sample_temperature: 0.5, ..EmaVectorQuantizerConfig::new(16) };
    for config in [QuantizerConfig::Vq(vq), QuantizerConfig::Ema(ema)] {
        let built = started(&config, &latents);
        let quantize = |mode| built.quantizer.quantize(&latents, None, mode).unwrap();
        let distance = |mode| quantize(mode).losses.commitment.double_value(&[]);
        let indices = |mode| quantize(mode).grid.indices;
        assert_eq!(indices(Mode::Frozen), indices(Mode::Eval), "{}", built.kind);
        assert_ne!(indices(TRAIN), indices(TRAIN), "{}", built.kind);
        let (nearest, sampled) = (distance(Mode::Eval), distance(TRAIN));
        // Codes drawn at random are about as far as two latents are: a squared difference of 2 per channel.
        assert!(nearest < sampled && sampled < 1.0, "{}: {nearest} {sampled}", built.kind);
    }
}

#[test]
fn dropped_levels_leave_the_sum_of_those_before() {
    const IMAGES: i64 = 96;
    let draws = Draws::new(6);
    // So many that each number of levels is drawn.
    let latents = draws.randn(&[IMAGES, 4, 5]);
    let built = started(&residual(1.0), &latents);
    let quantized = built.quantizer.quantize(&latents, None, TRAIN).unwrap();
    let mut sums = vec![latents.zeros_like()];
    for part in &quantized.inner {
        sums.push(sums.last().unwrap() + &part.quantized.codes);
    }
    let levels: Vec<usize> = (0..IMAGES)
        .map(|image| {
            let of = |codes: &Tensor| codes.get(image);
            let fits = |sum: &Tensor| of(sum).allclose(&of(&quantized.codes), 1e-5, 1e-5, false);
            sums.iter().position(fits).expect("the codes are the sum of some levels")
        })
        .collect();
    assert!((1..=3).all(|count| levels.contains(&count)) && !levels.contains(&0), "{levels:?}");
    for (level, part) in quantized.inner.iter().enumerate() {
        let used = part.quantized.mask.as_ref().unwrap().select(1, 0).to_kind(Kind::Int64);
        let want: Vec<i64> = levels.iter().map(|&count| i64::from(count > level)).collect();
        assert_eq!(used, Tensor::from_slice(&want), "level {level}");
    }
    let full = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
    assert_eq!(full.grid.indices, quantized.grid.indices);
}

#[test]
fn more_levels_come_nearer() {
    let draws = Draws::new(7);
    let latents = draws.randn(&[8, 4, 50]);
    let error = |levels| {
        let config = QuantizerConfig::Residual(ResidualQuantizerConfig::new(levels, ema(8)));
        let codes = started(&config, &latents).quantizer.quantize(&latents, None, Mode::Eval).unwrap().codes;
        (codes - &latents).square().mean(Kind::Float).double_value(&[])
    };
    let errors = [1, 2, 4].map(error);
    assert!(errors[0] > 1.3 * errors[1] && errors[1] > 1.3 * errors[2], "{errors:?}");
}

#[test]
fn updates_reach_every_part() {
    let draws = Draws::new(8);
    let latents = draws.randn(&[4, 4, 30]);
    let product = QuantizerConfig::Product(ProductQuantizerConfig::new(2, residual(0.0)));
    let mut built = started(&product, &latents);
    let (before, latents) = (built.state(), latents * 1.5);
    let quantized = built.quantizer.quantize(&latents, None, TRAIN).unwrap();
    built.quantizer.update(&latents, &quantized).unwrap();
    let tables: Vec<_> = before.iter().filter(|(name, _)| name.ends_with("embed_avg")).collect();
    assert_eq!(tables.len(), 6);
    assert!(tables.iter().all(|(name, table)| **table != built.variable(name)));
}

#[test]
fn all_codes_of_index_backpropagation_learn_and_frozen_vectors_never_do() {
    let draws = Draws::new(9);
    let latents = draws.randn(&[2, 3, 4]);
    let gradient = |config: &QuantizerConfig, name: &str| {
        let built = started(config, &latents);
        let quantized = built.quantizer.quantize(&latents.copy().set_requires_grad(true), None, TRAIN).unwrap();
        (quantized.codes.square().sum(Kind::Float) + quantized.losses.total).backward();
        built.variable(name).grad()
    };
    let ibq = QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig::new(20));
    let reached = gradient(&ibq, "embedding.weight").abs().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    assert!(reached.gt(0.0).all().int64_value(&[]) == 1);
    let sim = QuantizerConfig::Sim(SimVectorQuantizerConfig::new(20));
    assert!(!gradient(&sim, "frozen_codebook").defined());
}

#[test]
fn the_weight_of_entropies_falls_and_a_share_of_positions_estimates_them() {
    let draws = Draws::new(10);
    let latents = draws.randn(&[4, 6, 2000]);
    let anneal = Anneal { end: 0.1, steps: 10, curve: AnnealCurve::Exponential };
    let config = LookupFreeQuantizerConfig {
        entropy_weight: 1.0,
        entropy_anneal: Some(anneal),
        commitment_weight: 0.0,
        inv_temperature: 0.5,
        ..LookupFreeQuantizerConfig::new(64)
    };
    let total = |config: &LookupFreeQuantizerConfig, step| {
        let built = started(&QuantizerConfig::LookupFree(config.clone()), &latents);
        built.quantizer.quantize(&latents, None, Mode::Train { step }).unwrap().losses.total.double_value(&[])
    };
    let (first, last) = (total(&config, 0), total(&config, 10));
    assert!((first * 0.1 - last).abs() < 1e-6 && first != 0.0, "{first} {last}");
    let part = total(&LookupFreeQuantizerConfig { entropy_fraction: 0.5, ..config }, 0);
    assert!(part != first && (part - first).abs() < 0.05, "{first} {part}");
}

#[test]
fn a_token_in_parts_is_the_whole_token_taken_apart() {
    let latents = Draws::new(7).randn(&[2, 7, 3, 5]);
    let whole = LookupFreeQuantizerConfig { bit_order: BitOrder::LsbFirst, ..LookupFreeQuantizerConfig::new(1 << 7) };
    let parts = LookupFreeQuantizerConfig { factorized_bits: Some(vec![2, 4, 1]), ..whole.clone() };
    let [whole, parts] = [whole, parts].map(|config| build(&QuantizerConfig::LookupFree(config), 7).quantizer);
    let [of_whole, of_parts] =
        [&whole, &parts].map(|quantizer| quantizer.quantize(&latents, None, Mode::Eval).unwrap());
    assert_eq!(of_parts.grid.sizes, [4, 16, 2]);
    assert_eq!(parts.codebook_sizes(), of_parts.grid.sizes);
    assert_eq!(of_parts.codes, of_whole.codes);
    assert_eq!(of_parts.losses.total, of_whole.losses.total);
    assert_eq!(parts.lookup(&of_parts.grid).unwrap(), of_parts.codes);
    // The first part has the lowest bits.
    let weights = Tensor::from_slice(&[1i64, 4, 64]).view([1i64, 3, 1, 1]);
    let joined = (&of_parts.grid.indices * weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Int64);
    assert_eq!(joined, of_whole.grid.indices);
    let shapes: Vec<_> = parts.codebooks().iter().map(|book| book.codes.size()).collect();
    assert_eq!(shapes, [[4, 2], [16, 4], [2, 1]]);
    assert!(parts.lookup(&of_whole.grid).is_err() && whole.lookup(&of_parts.grid).is_err());
}
