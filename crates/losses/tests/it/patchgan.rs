//! What holds for every PatchGAN discriminator.

use std::collections::BTreeMap;

use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn};
use vqkit_losses::{DiscriminatorNorm, GanLoss, LossError, PatchGan, PatchGanConfig};
use vqkit_testing::generator;
use vqkit_torch::autocast;

const NORMS: [DiscriminatorNorm; 3] = [DiscriminatorNorm::Batch, DiscriminatorNorm::Actnorm, DiscriminatorNorm::None];

fn small(norm: DiscriminatorNorm) -> PatchGanConfig {
    PatchGanConfig { ndf: 4, n_layers: 2, norm }
}

fn images(batch: i64, size: i64) -> Tensor {
    Tensor::rand([batch, 3, size, size], (Kind::Float, Device::Cpu)) * 2.0 - 1.0
}

#[test]
fn the_smallest_images_leave_one_logit() {
    let _generator = generator(1);
    for n_layers in 1..=5 {
        for norm in NORMS {
            let config = PatchGanConfig { n_layers, ..small(norm) };
            let discriminator = PatchGan::new(&nn::VarStore::new(Device::Cpu).root(), 3, &config).unwrap();
            let least = config.least_size();
            assert_eq!(discriminator.forward(&images(2, least), true).unwrap().size(), [2, 1, 1, 1]);
            let refused = discriminator.forward(&images(2, least - 1), true).unwrap_err();
            assert!(matches!(refused, LossError::Size { least: named, .. } if named == least), "{refused}");
        }
    }
}

#[test]
fn names_are_those_of_the_sequence() {
    let _generator = generator(5);
    for norm in NORMS {
        let vs = nn::VarStore::new(Device::Cpu);
        PatchGan::new(&vs.root(), 3, &PatchGanConfig { n_layers: 3, ..small(norm) }).unwrap();
        let mut weights: Vec<_> = vs.variables().into_iter().filter(|(_, value)| value.dim() == 4).collect();
        weights.retain(|(name, _)| name.ends_with("weight"));
        weights.sort_by_key(|(_, value)| (value.size()[0] == 1, value.size()));
        let shapes: Vec<_> = weights.iter().map(|(name, value)| (name.as_str(), value.size()[0])).collect();
        let expected = [("main.0", 4), ("main.2", 8), ("main.5", 16), ("main.8", 32), ("main.11", 1)];
        assert_eq!(shapes.len(), expected.len(), "{norm:?}");
        for ((found, width), (name, wanted)) in shapes.into_iter().zip(expected) {
            assert_eq!((found, width), (format!("{name}.weight").as_str(), wanted), "{norm:?}");
        }
    }
}

#[test]
fn it_learns_to_tell_two_kinds_of_images_apart() {
    let _generator = generator(2);
    let (real, fake) = (images(4, 16), images(4, 16).abs());
    for norm in NORMS {
        let vs = nn::VarStore::new(Device::Cpu);
        let discriminator = PatchGan::new(&vs.root(), 3, &small(norm)).unwrap();
        let mut optimizer = nn::Adam::default().build(&vs, 1e-2).unwrap();
        let mut losses = Vec::new();
        for _ in 0..20 {
            let logits = |images: &Tensor| discriminator.forward(images, true).unwrap();
            let loss = GanLoss::NonSaturating.discriminator(&logits(&real), &logits(&fake));
            optimizer.backward_step(&loss);
            losses.push(loss.double_value(&[]));
        }
        assert!(losses[19] < 0.7 * losses[0], "{norm:?}: {losses:?}");
        let reached = vs.trainable_variables().iter().all(|variable| variable.grad().defined());
        assert!(reached, "{norm:?}");
    }
}

#[test]
fn evaluation_changes_nothing_and_works_image_by_image() {
    let _generator = generator(3);
    let batch = images(3, 16);
    for norm in NORMS {
        let vs = nn::VarStore::new(Device::Cpu);
        let discriminator = PatchGan::new(&vs.root(), 3, &small(norm)).unwrap();
        let _ = discriminator.forward(&batch, true).unwrap();
        let state = || -> BTreeMap<_, _> {
            vs.variables().into_iter().map(|(name, value)| (name, value.detach().copy())).collect()
        };
        let before = state();
        let together = discriminator.forward(&batch, false).unwrap();
        assert_eq!(state(), before, "{norm:?}");
        let alone = discriminator.forward(&batch.narrow(0, 1, 1), false).unwrap();
        assert!(together.narrow(0, 1, 1).allclose(&alone, 1e-4, 1e-6, false), "{norm:?}");
    }
}

#[test]
fn autocast_keeps_statistics_and_gradients_in_full_precision() {
    let _generator = generator(4);
    let batch = images(4, 16);
    for norm in NORMS {
        let vs = nn::VarStore::new(Device::Cpu);
        let discriminator = PatchGan::new(&vs.root(), 3, &small(norm)).unwrap();
        let logits = autocast::with(Device::Cpu, Kind::BFloat16, || discriminator.forward(&batch, true)).unwrap();
        let loss = GanLoss::Hinge.generator(&logits);
        loss.backward();
        assert_eq!(loss.kind(), Kind::Float);
        let variables = vs.variables();
        assert!(variables.values().all(|value| matches!(value.kind(), Kind::Float | Kind::Int64 | Kind::Uint8)));
        assert!(vs.trainable_variables().iter().all(|variable| variable.grad().kind() == Kind::Float), "{norm:?}");
    }
}

#[test]
fn what_it_cannot_take_is_refused() {
    let _generator = generator(6);
    let build = |in_channels, config: PatchGanConfig| {
        PatchGan::new(&nn::VarStore::new(Device::Cpu).root(), in_channels, &config)
    };
    let default = PatchGanConfig::default();
    let wrong = [
        ("ndf", 3, PatchGanConfig { ndf: 0, ..default.clone() }),
        ("n_layers", 3, PatchGanConfig { n_layers: 0, ..default.clone() }),
        ("n_layers", 3, PatchGanConfig { n_layers: 11, ..default }),
        ("in_channels", 0, small(DiscriminatorNorm::None)),
    ];
    for (key, in_channels, config) in wrong {
        let refused = build(in_channels, config).unwrap_err();
        assert!(matches!(refused, LossError::Config { field, .. } if field == key), "{key}: {refused}");
    }
    let discriminator = build(3, small(DiscriminatorNorm::Batch)).unwrap();
    let refuse = |shape: &[i64]| {
        discriminator.forward(&Tensor::zeros(shape, (Kind::Float, Device::Cpu)), true).unwrap_err().to_string()
    };
    assert_eq!(refuse(&[1, 1, 16, 16]), "images must have shape [B, 3, H, W], got [1, 1, 16, 16]");
    let message = "images of 8 by 16 pixels are too small for a discriminator with n_layers = 2: \
                   it needs at least 12 by 12";
    assert_eq!(refuse(&[1, 3, 8, 16]), message);
}

#[test]
fn recipes_take_defaults_and_no_unknown_keys() {
    let read = |text: &str| serde_json::from_str::<PatchGanConfig>(text);
    assert_eq!(read("{}").unwrap(), PatchGanConfig { ndf: 64, n_layers: 3, norm: DiscriminatorNorm::Batch });
    assert_eq!(read(r#"{"norm": "actnorm"}"#).unwrap().norm, DiscriminatorNorm::Actnorm);
    assert!(read(r#"{"layers": 3}"#).unwrap_err().to_string().contains("layers"));
}
