//! One step against the plain way, taming's: the autoencoder's whole graph is differentiated once for each of the two pulls
//! that λ compares and once for the total, and the discriminator runs on the reconstruction a second time for its own loss.

use tch::{Kind, Tensor};
use vqkit_quantizer::Mode;

use crate::adversarial::{AdversarialTraining, Named, PERCEPTUAL_WEIGHT, difference, gradients};

/// Of the largest gradient of a state: sums in fp32 in another order.
const ROUNDING: f64 = 1e-5;

/// What the plain way gives.
struct Reference {
    lambda: Option<f64>,
    tokenizer: Named,
    discriminator: Named,
}

fn reference(training: &mut AdversarialTraining, step: u64) -> Reference {
    training.network.zero_grad();
    training.discriminator.zero_grad();
    let config = training.discriminator_objective.config().clone();
    let (images, last_layer) = (training.images.shallow_clone(), training.tokenizer.last_layer());
    let output = training.tokenizer.forward(&images, Mode::Train { step }).unwrap();
    let (_, perceptual) = training.objective.perceptual.as_ref().unwrap();
    let nll = (&output.images - &images).abs().mean(Kind::Float) * 0.7
        + perceptual.distance(&output.images, &images).unwrap().mean(Kind::Float) * PERCEPTUAL_WEIGHT;
    let mut total = &nll + &output.levels[0].losses.total;
    let mut lambda = None;
    if step >= config.start_step {
        let generator = generator_loss(training, &training.discriminator_objective.logits(&output.images).unwrap());
        let norm = |loss: &Tensor| Tensor::run_backward(&[loss], &[last_layer], true, false).remove(0).norm();
        let weight = (norm(&nll) / (norm(&generator) + 1e-4)).clamp(0.0, 1e4).detach() * config.weight;
        lambda = Some(weight.double_value(&[]));
        total += generator * weight;
    }
    total.backward();
    let tokenizer = gradients(&training.network);
    training.discriminator.zero_grad();
    if step >= config.start_step {
        discriminator_loss(training, &output.images.detach(), step).backward();
    }
    let discriminator = gradients(&training.discriminator);
    Reference { lambda, tokenizer, discriminator }
}

fn is_hinge(training: &AdversarialTraining) -> bool {
    matches!(training.discriminator_objective.config().loss, vqkit_losses::GanLoss::Hinge)
}

fn generator_loss(training: &AdversarialTraining, fake: &Tensor) -> Tensor {
    if is_hinge(training) { -fake.mean(Kind::Float) } else { (-fake).softplus().mean(Kind::Float) }
}

fn discriminator_loss(training: &AdversarialTraining, fakes: &Tensor, step: u64) -> Tensor {
    let config = training.discriminator_objective.config();
    let (fake, real) = (
        training.discriminator_objective.logits(fakes).unwrap(),
        training.discriminator_objective.logits(&training.images).unwrap(),
    );
    let mut loss = match is_hinge(training) {
        true => ((-&real + 1.0).relu().mean(Kind::Float) + (&fake + 1.0).relu().mean(Kind::Float)) * 0.5,
        false => (-&real).softplus().mean(Kind::Float) + fake.softplus().mean(Kind::Float),
    };
    if config.lecam_weight > 0.0 {
        let averages = training.discriminator.vs.variables();
        let [ema_real, ema_fake] = ["lecam.ema_real", "lecam.ema_fake"].map(|name| averages[name].double_value(&[]));
        let lecam =
            (real - ema_fake).relu().square().mean(Kind::Float) + (ema_real - fake).relu().square().mean(Kind::Float);
        loss += lecam * config.lecam_weight;
    }
    if config.r1_weight > 0.0 && step.is_multiple_of(config.r1_every) {
        let images = training.images.detach().set_requires_grad(true);
        let sum = training.discriminator_objective.logits(&images).unwrap().sum(Kind::Float);
        let slope = Tensor::run_backward(&[&sum], &[&images], true, true).remove(0);
        let of_each = slope.square().sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float);
        loss += of_each.mean(Kind::Float) * (0.5 * config.r1_weight * config.r1_every as f64);
    }
    loss
}

/// Both ways on the same weights; gives the gradients and λ of the plain one.
fn compare(overrides: &[&str], step: u64) -> Reference {
    let mut training = AdversarialTraining::new(overrides);
    let plain = reference(&mut training, step);
    let output = training.run(1, step);
    let weight = output.terms.metrics().into_iter().find(|(name, _)| name == "adaptive_weight").map(|(_, value)| value);
    assert_eq!(weight.is_some(), plain.lambda.is_some(), "{overrides:?}");
    if let (Some(weight), Some(lambda)) = (weight, plain.lambda) {
        assert!((weight / lambda - 1.0).abs() < ROUNDING, "{overrides:?}: λ is {weight}, reference {lambda}");
    }
    let apart = difference(&gradients(&training.network), &plain.tokenizer);
    assert!(apart < ROUNDING, "{overrides:?}: gradients of the tokenizer differ by {apart}");
    let theirs = gradients(&training.discriminator);
    if plain.lambda.is_none() {
        assert!(theirs.is_empty() && plain.discriminator.is_empty() && output.logits.is_none());
    } else {
        let apart = difference(&theirs, &plain.discriminator);
        assert!(apart < ROUNDING, "{overrides:?}: gradients of the discriminator differ by {apart}");
    }
    plain
}

const BATCH: &str = "tokenizer.loss.adversarial.discriminator.norm=batch";
const ACTNORM: &str = "tokenizer.loss.adversarial.discriminator.norm=actnorm";
const NON_SATURATING: &str = "tokenizer.loss.adversarial.loss=non-saturating";
const LECAM: &str = "tokenizer.loss.adversarial.lecam_weight=0.5";
const R1: [&str; 2] = ["tokenizer.loss.adversarial.r1_weight=2.0", "tokenizer.loss.adversarial.r1_every=4"];

#[test]
fn hinge_and_non_saturating_losses_under_every_norm() {
    for norm in [None, Some(BATCH)] {
        compare(norm.as_slice(), 0);
        compare(&norm.into_iter().chain([NON_SATURATING]).collect::<Vec<_>>(), 0);
    }
}

#[test]
fn actnorm_is_set_by_the_first_fakes_in_both_ways() {
    compare(&[ACTNORM], 0);
}

#[test]
fn lecam_and_r1_reach_the_discriminator_alone() {
    let without = compare(&[], 8);
    for extra in [vec![LECAM], R1.to_vec(), vec![LECAM, R1[0], R1[1]]] {
        let with = compare(&extra, 8);
        assert_eq!(difference(&with.tokenizer, &without.tokenizer), 0.0, "{extra:?}");
        assert!(difference(&with.discriminator, &without.discriminator) > 0.01, "{extra:?} changes something");
        compare(&extra.iter().copied().chain([BATCH, NON_SATURATING]).collect::<Vec<_>>(), 8);
    }
}

#[test]
fn between_its_turns_r1_is_silent() {
    let (off, between) = (compare(&[], 9), compare(&R1, 9));
    assert_eq!(difference(&between.discriminator, &off.discriminator), 0.0);
}

#[test]
fn before_the_game_begins_there_is_none() {
    let start = "tokenizer.loss.adversarial.start_step=5";
    assert!(compare(&[start], 4).lambda.is_none());
    assert!(compare(&[start], 5).lambda.is_some());
}
