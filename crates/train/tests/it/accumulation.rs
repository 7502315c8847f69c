//! A batch in parts: the same step, where no network sees more than one image at a time.

use tch::{Kind, no_grad};
use vqkit_train::TrainState;

use crate::adversarial::{AdversarialTraining, Named, difference, gradients, seeded, variables};

/// Of the largest value: sums in fp32 in another order.
const ROUNDING: f64 = 1e-5;

/// Every code that a batch leaves out is revived.
const EMA: [&str; 3] =
    ["tokenizer.quantizer.type=ema", "tokenizer.quantizer.revive_after=1", "tokenizer.loss.adversarial.adaptive=false"];
const LECAM: [&str; 2] = ["tokenizer.loss.adversarial.lecam_weight=0.5", "tokenizer.loss.adversarial.lecam_decay=0.5"];

/// What a step leaves behind.
struct Left {
    gradients: [Named; 2],
    terms: Vec<(String, f64)>,
    variables: [Named; 2],
}

fn step(overrides: &[&str], grad_accumulation: usize) -> Left {
    let mut training = AdversarialTraining::new(overrides);
    let output = training.run(grad_accumulation, 0);
    seeded(11, || no_grad(|| training.tokenizer.update(&output.reconstruction))).unwrap();
    let (real, fake) = output.logits.as_ref().unwrap();
    training.discriminator_objective.update(real, fake);
    let states = [&training.network, &training.discriminator];
    Left { gradients: states.map(gradients), terms: output.terms.metrics(), variables: states.map(variables) }
}

#[test]
fn parts_of_a_batch_give_the_step_of_the_whole() {
    let overrides = [EMA.as_slice(), &LECAM].concat();
    let whole = step(&overrides, 1);
    for parts in [2, 4] {
        let split = step(&overrides, parts);
        for state in 0..2 {
            let apart = difference(&split.gradients[state], &whole.gradients[state]);
            assert!(apart < ROUNDING, "{parts} parts, state {state}: gradients differ by {apart}");
            for (name, want) in &whole.variables[state] {
                let apart = (&split.variables[state][name] - want).abs().max().double_value(&[]);
                assert!(apart < ROUNDING, "{parts} parts: `{name}` differs by {apart}");
            }
        }
        for ((name, split), (_, whole)) in split.terms.iter().zip(&whole.terms) {
            assert!((split - whole).abs() < ROUNDING, "{parts} parts: the term `{name}` is {split}, whole {whole}");
        }
    }
}

#[test]
fn the_step_of_the_whole_moves_revives_and_averages() {
    let before = AdversarialTraining::new(&[EMA.as_slice(), &LECAM].concat());
    let after = step(&[EMA.as_slice(), &LECAM].concat(), 1);
    let moved = |state: &TrainState, after: &Named, name: &str| {
        let moved = (&state.vs.variables()[name] - &after[name]).abs().to_kind(Kind::Double);
        moved.view([moved.size().first().copied().unwrap_or(1), -1]).amax([1].as_slice(), false).count_nonzero(0)
    };
    let codes = moved(&before.network, &after.variables[0], "quantize.embedding.weight");
    assert_eq!(codes.int64_value(&[]), 16, "every code is revived, or moves toward its latents");
    let ages = after.variables[0]["quantize.age"].sum(Kind::Double).double_value(&[]);
    assert_eq!(ages, 0.0, "codes that were left out are young again");
    for name in ["lecam.ema_real", "lecam.ema_fake"] {
        assert_eq!(moved(&before.discriminator, &after.variables[1], name).int64_value(&[]), 1, "{name}");
    }
}

#[test]
fn statistics_of_a_batch_and_the_adaptive_weight_are_each_parts_own() {
    let batch_norm = [EMA.as_slice(), &["tokenizer.loss.adversarial.discriminator.norm=batch"]].concat();
    for (overrides, state) in [(batch_norm.as_slice(), 1), (&EMA[..2], 0)] {
        let (whole, split) = (step(overrides, 1), step(overrides, 2));
        let apart = difference(&split.gradients[state], &whole.gradients[state]);
        assert!(apart > 1e-3, "{overrides:?}: gradients differ by {apart} only");
    }
}
