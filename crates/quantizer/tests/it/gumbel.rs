//! What is the Gumbel quantizer's own: draws, temperatures and what stays still.

use crate::common::TRAIN;
use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{Anneal, AnnealCurve, GumbelQuantizer, GumbelQuantizerConfig, Mode, QuantizeError, Quantizer};
use vqkit_testing::Draws;

fn build(config: &GumbelQuantizerConfig, dim: i64) -> (nn::VarStore, GumbelQuantizer) {
    let vs = nn::VarStore::new(Device::Cpu);
    let quantizer = config.build(&vs.root(), dim).unwrap();
    (vs, quantizer)
}

#[test]
fn codes_are_drawn_as_often_as_they_are_likely() {
    let draws = Draws::new(1);
    let (_vs, quantizer) = build(&GumbelQuantizerConfig::new(4), 3);
    let latents = draws.randn(&[1, 3, 1]).repeat([1, 1, 20_000]);
    let drawn = quantizer.quantize(&latents, None, TRAIN).unwrap().grid.indices.flatten(0, -1);
    let share = drawn.bincount::<Tensor>(None, 4).to_kind(Kind::Float) / 20_000.0;
    let likely = quantizer.logits(&latents).unwrap().select(2, 0).softmax(1, Kind::Float).view([4]);
    assert!(share.allclose(&likely, 0.0, 0.02, false), "{share} drawn, {likely} likely");
}

#[test]
fn only_training_moves_the_weights_and_every_mode_reaches_the_latents() {
    let draws = Draws::new(2);
    for (mode, moves) in [(TRAIN, true), (Mode::Frozen, false), (Mode::Eval, false)] {
        let (vs, quantizer) = build(&GumbelQuantizerConfig::new(5), 3);
        let latents = draws.randn(&[2, 3, 4, 4]).set_requires_grad(true);
        let quantized = quantizer.quantize(&latents, None, mode).unwrap();
        (quantized.codes.square().sum(Kind::Float) + quantized.losses.total).backward();
        assert!(latents.grad().abs().max().double_value(&[]) > 0.0, "{mode:?}");
        for (name, variable) in vs.variables() {
            assert_eq!(variable.grad().defined(), moves, "{mode:?} {name}");
        }
    }
}

#[test]
fn the_temperature_falls_and_mixtures_become_codes() {
    let draws = Draws::new(3);
    // So cold at the end that no draw has two choices near enough to be mixed.
    let anneal = Some(Anneal { end: 1e-8, steps: 100, curve: AnnealCurve::Exponential });
    let config = GumbelQuantizerConfig { straight_through: false, anneal, ..GumbelQuantizerConfig::new(6) };
    assert!((config.temperature(50) - 1e-4).abs() < 1e-12);
    let (_vs, quantizer) = build(&config, 3);
    let latents = draws.randn(&[2, 3, 8]);
    let far = |step| {
        let quantized = quantizer.quantize(&latents, None, Mode::Train { step }).unwrap();
        (quantizer.lookup(&quantized.grid).unwrap() - quantized.codes).abs().mean(Kind::Float).double_value(&[])
    };
    assert!(far(0) > 0.1);
    assert!(far(100) < 0.01);
}

#[test]
fn masked_positions_do_not_count() {
    let draws = Draws::new(4);
    let (_vs, quantizer) = build(&GumbelQuantizerConfig::new(6), 3);
    let (kept, junk) = (draws.randn(&[1, 3, 5]), draws.randn(&[1, 3, 5]) * 100.0);
    let mask = Tensor::arange(10, (Kind::Int64, Device::Cpu)).lt(5).unsqueeze(0);
    let total = |latents: &Tensor, mask| quantizer.quantize(latents, mask, Mode::Eval).unwrap().losses.total;
    let (with, without) = (total(&Tensor::cat(&[&kept, &junk], 2), Some(&mask)), total(&kept, None));
    assert!(with.allclose(&without, 1e-5, 1e-8, false));
}

#[test]
fn choices_stay_in_f32_under_autocast() {
    let draws = Draws::new(5);
    let (_vs, quantizer) = build(&GumbelQuantizerConfig::new(64), 4);
    let latents = draws.randn(&[1, 4, 256]);
    let quantize = || quantizer.quantize(&latents, None, Mode::Eval).unwrap();
    let inside = vqkit_torch::autocast::with(Device::Cpu, Kind::BFloat16, quantize);
    assert_eq!(inside.grid.indices, quantize().grid.indices);
    assert_eq!(inside.losses.total, quantize().losses.total);
}

#[test]
fn noise_of_another_shape_is_refused() {
    let (draws, (_vs, quantizer)) = (Draws::new(6), build(&GumbelQuantizerConfig::new(6), 3));
    let refused = quantizer.quantize_with(&draws.randn(&[2, 3, 4]), None, &draws.randn(&[2, 5, 4]), 1.0).unwrap_err();
    assert!(matches!(refused, QuantizeError::Shape { what: "noise", .. }));
    assert_eq!(refused.to_string(), "noise must have shape [2, 6, 4], got [2, 5, 4]");
}
