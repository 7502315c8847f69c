//! What training sees: which gradient reaches what, what a step moves, and how codes are revived.

use crate::common::{Built, TRAIN, build, every_started_table, every_table};
use tch::{Device, Kind, Tensor};
use vqkit_quantizer::{GradientEstimate, Mode, Quantized};
use vqkit_testing::Draws;

fn sum(x: &Tensor) -> Tensor {
    x.sum(Kind::Float)
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

/// Whether anything flowed back to a tensor.
fn is_reached(x: &Tensor) -> bool {
    x.grad().defined() && largest(&x.grad()) > 0.0
}

fn step(built: &mut Built, latents: &Tensor, mask: Option<&Tensor>) -> Quantized {
    let quantized = built.quantizer.quantize(latents, mask, TRAIN).unwrap();
    built.quantizer.update(latents, &quantized).unwrap();
    quantized
}

/// Puts a code where no latent comes.
fn send_away(built: &Built, code: i64) {
    tch::no_grad(|| {
        let _ = built.variable("embedding.weight").get(code).fill_(1e3);
        if built.kind == "ema" {
            let _ = built.variable("cluster_size").get(code).fill_(1.0);
            let _ = built.variable("embed_avg").get(code).fill_(1e3);
        }
    });
}

#[test]
fn the_codebook_term_moves_only_codes_and_the_commitment_term_only_the_encoder() {
    let draws = Draws::new(1);
    for built in every_started_table(6, 0, &draws.randn(&[4, 3, 5])) {
        for (mode, codes_move) in [(TRAIN, built.kind == "vq"), (Mode::Frozen, false), (Mode::Eval, false)] {
            let (latents, table) =
                (draws.randn(&[4, 3, 5]).set_requires_grad(true), built.variable("embedding.weight"));
            let losses = built.quantizer.quantize(&latents, None, mode).unwrap().losses;
            if losses.codebook.requires_grad() {
                losses.codebook.backward();
            }
            assert!(!is_reached(&latents), "{} {mode:?}", built.kind);
            assert_eq!(is_reached(&table), codes_move, "{} {mode:?}", built.kind);

            let mut table_gradient = table.grad();
            if table_gradient.defined() {
                let _ = table_gradient.zero_();
            }
            losses.commitment.backward();
            assert!(is_reached(&latents) && !is_reached(&table), "{} {mode:?}", built.kind);
        }
    }
}

#[test]
fn the_total_is_the_weighted_sum() {
    let draws = Draws::new(2);
    let latents = draws.randn(&[2, 3, 4, 4]);
    for built in every_started_table(4, 0, &latents) {
        let losses = built.quantizer.quantize(&(&latents + 0.5), None, TRAIN).unwrap().losses;
        let want = &losses.codebook + &losses.commitment * 0.25;
        assert!(largest(&(want - &losses.total)) < 1e-6, "{}", built.kind);
        assert_eq!(largest(&losses.codebook) > 0.0, built.kind == "vq");
    }
}

#[test]
fn straight_through_hands_the_gradient_of_the_codes_to_the_latents() {
    let draws = Draws::new(3);
    let probe = draws.randn(&[2, 3, 4, 4]);
    for built in every_started_table(5, 0, &draws.randn(&[2, 3, 4, 4])) {
        let latents = draws.randn(&[2, 3, 4, 4]).set_requires_grad(true);
        let codes = built.quantizer.quantize(&latents, None, TRAIN).unwrap().codes;
        sum(&(codes * &probe)).backward();
        assert_eq!(latents.grad(), probe, "{}", built.kind);
        assert!(!built.variable("embedding.weight").grad().defined(), "{}", built.kind);
    }
}

#[test]
fn rotation_keeps_the_length_of_the_gradient_up_to_the_ratio_of_lengths() {
    let draws = Draws::new(4);
    let probe = draws.randn(&[2, 3, 4]);
    let norm = |x: &Tensor| x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).sqrt();
    for config in every_table(5, 0, GradientEstimate::Rotation) {
        let mut built = build(&config, 3);
        built.quantizer.initialize(&draws.randn(&[2, 3, 4])).unwrap();
        let latents = draws.randn(&[2, 3, 4]).set_requires_grad(true);
        let codes = built.quantizer.quantize(&latents, None, TRAIN).unwrap().codes;
        sum(&(&codes * &probe)).backward();
        let want = norm(&probe) * norm(&codes.detach()) / norm(&latents.detach());
        assert!(norm(&latents.grad()).allclose(&want, 1e-3, 1e-5, false), "{}", built.kind);
    }
}

#[test]
fn masked_positions_count_neither_in_losses_nor_in_statistics() {
    let draws = Draws::new(5);
    let (kept, junk) = (draws.randn(&[1, 3, 6]), draws.randn(&[1, 3, 6]) * 100.0);
    let both = Tensor::cat(&[&kept, &junk], 2);
    let mask = Tensor::arange(12, (Kind::Int64, Device::Cpu)).lt(6).unsqueeze(0);
    for (mut masked, mut alone) in every_started_table(4, 2, &kept).into_iter().zip(every_started_table(4, 2, &kept)) {
        let start = masked.state();
        for (name, value) in start {
            tch::no_grad(|| alone.variable(&name).copy_(&value));
        }
        let (with, without) = (step(&mut masked, &both, Some(&mask)), step(&mut alone, &kept, None));
        assert!(largest(&(with.losses.total - without.losses.total)) < 1e-5, "{}", masked.kind);
        for (name, value) in masked.state() {
            assert!(value.allclose(&alone.variable(&name), 1e-5, 1e-5, false), "{} {name}", masked.kind);
        }
    }
}

#[test]
fn a_mask_that_keeps_nothing_moves_no_code_out_of_range() {
    let draws = Draws::new(6);
    let latents = draws.randn(&[2, 3, 4]);
    let nothing = Tensor::zeros([2, 4], (Kind::Bool, Device::Cpu));
    for mut built in every_started_table(4, 1, &latents) {
        let before = built.variable("embedding.weight").detach().copy();
        let quantized = step(&mut built, &latents, Some(&nothing));
        assert_eq!(quantized.losses.total.double_value(&[]), 0.0, "{}", built.kind);
        assert!(built.variable("embedding.weight").allclose(&before, 1e-3, 1e-4, false), "{}", built.kind);
    }
}

#[test]
fn unused_codes_are_put_on_latents_of_the_batch_and_start_anew() {
    let draws = Draws::new(7);
    let latents = draws.randn(&[2, 3, 20]);
    for mut built in every_started_table(4, 3, &latents) {
        send_away(&built, 2);
        let far = |built: &Built| largest(&built.variable("embedding.weight").get(2)) > 500.0;
        for _ in 0..2 {
            step(&mut built, &latents, None);
            assert!(far(&built), "{}: revived too early", built.kind);
        }
        assert_eq!(built.variable("age"), Tensor::from_slice(&[0.0f32, 0.0, 2.0, 0.0]), "{}", built.kind);
        step(&mut built, &latents, None);
        let code = built.variable("embedding.weight").get(2).detach();
        let points = latents.transpose(1, 2).reshape([-1, 3]);
        assert!(
            (points - &code).abs().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float).min().double_value(&[])
                == 0.0
        );
        assert_eq!(largest(&built.variable("age")), 0.0, "{}", built.kind);
        if built.kind == "ema" {
            assert_eq!(built.variable("cluster_size").double_value(&[2]), 1.0);
            assert_eq!(built.variable("embed_avg").get(2), code);
        }
    }
}

#[test]
fn revival_never_happens_when_turned_off() {
    let draws = Draws::new(8);
    let latents = draws.randn(&[2, 3, 20]);
    for mut built in every_started_table(4, 0, &latents) {
        send_away(&built, 1);
        for _ in 0..5 {
            step(&mut built, &latents, None);
        }
        assert!(largest(&built.variable("embedding.weight").get(1)) > 500.0, "{}", built.kind);
    }
}

#[test]
fn the_first_values_are_set_once() {
    let draws = Draws::new(9);
    let centres = Tensor::eye(6, (Kind::Float, Device::Cpu)) * 20.0;
    let labels = Tensor::arange(240, (Kind::Int64, Device::Cpu)).remainder(6);
    let latents = (centres.index_select(0, &labels) + draws.randn(&[240, 6]) * 0.1).transpose(0, 1).unsqueeze(0);
    for mut built in every_started_table(6, 0, &latents) {
        let loss = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap().losses.commitment;
        assert!(largest(&loss) < 0.02, "{}: k-means found other clusters", built.kind);
        let before = built.state();
        built.quantizer.initialize(&draws.randn(&[1, 6, 50])).unwrap();
        assert_eq!(before, built.state(), "{}", built.kind);
    }
}

#[test]
fn moving_averages_approach_the_mean_of_what_falls_to_a_code() {
    let draws = Draws::new(10);
    let latents = draws.randn(&[1, 2, 64]);
    let mut built = every_started_table(2, 0, &latents).remove(1);
    for _ in 0..1500 {
        step(&mut built, &latents, None);
    }
    let quantized = built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
    for code in 0..2 {
        let member = quantized.grid.indices.eq(code).to_kind(Kind::Float);
        let mean = (&latents * &member).sum_dim_intlist([0i64, 2].as_slice(), false, Kind::Float) / sum(&member);
        assert!(built.variable("embedding.weight").get(code).allclose(&mean, 1e-3, 1e-4, false));
    }
}

#[test]
fn distances_stay_in_f32_under_autocast() {
    // Neighbouring latents differ by less than bf16 can tell apart.
    let latents = (Tensor::arange(64, (Kind::Float, Device::Cpu)) * 1e-3 + 1.0).view([1, 1, 64]).repeat([1, 4, 1]);
    for built in every_started_table(64, 0, &latents) {
        let quantize = || built.quantizer.quantize(&latents, None, Mode::Eval).unwrap();
        let inside = vqkit_torch::autocast::with(Device::Cpu, Kind::BFloat16, quantize);
        let outside = quantize();
        assert_eq!(inside.grid.indices, outside.grid.indices, "{}", built.kind);
        assert_eq!(inside.losses.total, outside.losses.total, "{}", built.kind);
    }
}
