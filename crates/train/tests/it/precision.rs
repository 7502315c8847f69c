//! bf16 under autocast against fp32: the networks compute in bf16, everything that adds up stays in fp32, and what is learned is
//! the same.

use std::path::Path;

use tch::Kind;
use vqkit_recipe::{Modality, Recipe};
use vqkit_run::{Context, Invocation, Run};
use vqkit_torch::weights;
use vqkit_train::tokenizer;

use crate::adversarial::{AdversarialTraining, RECIPE, gradients, seeded};

/// Mean relative difference of the smoothed curves of the pixel term; three seeds gave 4 to 6 %.
const CLOSE: f64 = 0.1;
/// Steps of the moving average.
const SMOOTHED: usize = 10;
const STEPS: usize = 40;

/// Trains the recipe's tokenizer in this precision, on two images, and gives its pixel term by step.
fn curve(precision: &str, folder: &Path) -> Vec<f64> {
    let adversarial = "tokenizer.loss.adversarial";
    let overrides = [
        format!("precision={precision}"),
        "tokenizer.quantizer.type=ema".into(),
        "tokenizer.quantizer.kmeans_init=true".into(),
        format!("{adversarial}.start_step=25"),
        "data.source.count=2".into(),
        "data.source.validation_count=2".into(),
        format!("tokenizer.train.steps={STEPS}"),
        "tokenizer.train.batch_size=2".into(),
        "tokenizer.train.optimizer=muon".into(),
        "tokenizer.train.learning_rate=3e-3".into(),
        "tokenizer.train.log_every=1".into(),
    ];
    let recipe = Recipe::parse("adversarial", RECIPE, &overrides).unwrap();
    let context = Context::silent("cpu").unwrap();
    let call = Invocation::of_process(&context, recipe.head.precision, recipe.head.seed);
    assert_eq!(call.precision, precision);
    let data = recipe.data.open().unwrap();
    let mut run = Run::create(folder, &recipe, Some(&data), call).unwrap();
    seeded(0, || tokenizer::train(&mut run, Modality::Image, &data, &context)).unwrap();
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["reconstruction"].as_f64()).collect()
}

fn smooth(curve: &[f64]) -> Vec<f64> {
    curve.windows(SMOOTHED).map(|window| window.iter().sum::<f64>() / SMOOTHED as f64).collect()
}

fn apart(one: &[f64], other: &[f64]) -> f64 {
    let (one, other) = (smooth(one), smooth(other));
    one.iter().zip(&other).map(|(one, other)| (one / other - 1.0).abs()).sum::<f64>() / one.len() as f64
}

#[test]
fn bf16_learns_as_fp32_does_and_keeps_its_state_in_fp32() {
    let folder = tempfile::tempdir().unwrap();
    let [full, low] = ["fp32", "bf16"].map(|precision| curve(precision, &folder.path().join(precision)));
    assert_eq!((full.len(), low.len()), (STEPS, STEPS));
    for curve in [&full, &low] {
        let smoothed = smooth(curve);
        assert!(smoothed[smoothed.len() - 1] < 0.5 * smoothed[0], "it learns: {curve:?}");
    }
    assert_ne!(full, low);
    let apart = apart(&low, &full);
    assert!(apart < CLOSE, "the curves are {apart} apart: {full:?} {low:?}");
    for precision in ["fp32", "bf16"] {
        let last = folder.path().join(precision).join("tokenizer/last");
        for file in ["model", "optimizer", "discriminator", "discriminator-optimizer"] {
            for (name, tensor) in weights::read(&last.join(format!("{file}.safetensors"))).unwrap() {
                let halved = [Kind::BFloat16, Kind::Half].contains(&tensor.kind());
                assert!(!halved, "{precision}: `{name}` of {file} is {:?}", tensor.kind());
            }
        }
    }
}

#[test]
fn a_step_computes_in_bf16_and_gives_losses_and_gradients_in_fp32() {
    for (kind, ema) in [(Kind::BFloat16, false), (Kind::BFloat16, true), (Kind::Float, false)] {
        let quantizer = if ema { "tokenizer.quantizer.type=ema" } else { "tokenizer.quantizer.type=vq" };
        let mut training = AdversarialTraining::new(&[quantizer, "tokenizer.loss.adversarial.lecam_weight=0.5"]);
        training.objective.kind = kind;
        let output = training.run(2, 0);
        assert_eq!(output.reconstruction.images.kind(), kind);
        assert!(
            output.terms.parts().iter().all(|(_, term)| term.kind() == Kind::Float),
            "{kind:?}: {:?}",
            output.terms
        );
        let (real, fake) = output.logits.as_ref().unwrap();
        assert_eq!((real.kind(), fake.kind()), (Kind::Float, Kind::Float));
        for state in [&training.network, &training.discriminator] {
            assert!(gradients(state).values().all(|gradient| gradient.kind() == Kind::Float));
        }
        tch::no_grad(|| training.tokenizer.update(&output.reconstruction)).unwrap();
        assert_eq!(training.network.vs.variables()["quantize.embedding.weight"].kind(), Kind::Float);
    }
}
