//! What holds for LPIPS whatever its weights.

use tch::{Device, Kind, Tensor, nn, no_grad};
use vqkit_losses::{LossError, Lpips, Perceptual};
use vqkit_testing::{Generator, generator};
use vqkit_torch::autocast;

/// A network with weights as if before training, and heads that weigh all channels alike; and the generator that drew them.
fn lpips() -> (Generator, Lpips) {
    let generator = generator(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let lpips = Lpips::new(&vs.root());
    no_grad(|| {
        for (name, mut variable) in vs.variables() {
            let _ = match name {
                name if name.starts_with("lin") => variable.fill_(1.0),
                name if name.ends_with("weight") => {
                    variable.normal_(0.0, (2.0 / (9.0 * variable.size()[1] as f64)).sqrt())
                }
                name if name.ends_with("bias") => variable.fill_(0.0),
                _ => continue,
            };
        }
    });
    (generator, lpips)
}

fn images(size: &[i64]) -> Tensor {
    Tensor::rand(size, (Kind::Float, Device::Cpu)) * 2.0 - 1.0
}

#[test]
fn a_network_that_was_not_loaded_shows() {
    let _generator = generator(2);
    let lpips = Lpips::new(&nn::VarStore::new(Device::Cpu).root());
    let distance = lpips.distance(&images(&[1, 3, 16, 16]), &images(&[1, 3, 16, 16])).unwrap();
    assert!(distance.double_value(&[0]).is_nan());
}

#[test]
fn a_distance_is_symmetric_and_zero_to_itself() {
    let (_generator, lpips) = lpips();
    let (a, b) = (images(&[2, 3, 32, 24]), images(&[2, 3, 32, 24]));
    let there = lpips.distance(&a, &b).unwrap();
    assert!(there.min().double_value(&[]) > 0.0);
    assert!(there.allclose(&lpips.distance(&b, &a).unwrap(), 1e-5, 1e-7, false));
    assert_eq!(lpips.distance(&a, &a).unwrap(), there.zeros_like());
    assert_eq!(lpips.per_layer(&a, &b).unwrap().size(), [2, 5]);
}

#[test]
fn one_channel_stands_for_three() {
    let (_generator, lpips) = lpips();
    let (a, b) = (images(&[1, 1, 16, 16]), images(&[1, 1, 16, 16]));
    let three = lpips.distance(&a.expand([1, 3, 16, 16], false), &b.expand([1, 3, 16, 16], false)).unwrap();
    assert_eq!(lpips.distance(&a, &b).unwrap(), three);
}

#[test]
fn the_reference_has_no_graph_and_the_gradient_is_finite() {
    let (_generator, lpips) = lpips();
    let real = images(&[1, 3, 32, 32]);
    let reference = lpips.features(&real).unwrap();
    assert!(reference.maps().iter().all(|map| !map.requires_grad()));
    // On black and flat images many channels, or all, are dead.
    for fake in [Tensor::full_like(&real, -0.03), real.copy()] {
        let fake = fake.set_requires_grad(true);
        lpips.distance_to(&fake, &reference).unwrap().sum(Kind::Float).backward();
        assert_eq!(fake.grad().isfinite().all().int64_value(&[]), 1);
    }
}

#[test]
fn distances_under_autocast_are_in_full_precision() {
    let (_generator, lpips) = lpips();
    let (a, b) = (images(&[1, 3, 32, 32]), images(&[1, 3, 32, 32]));
    let full = lpips.distance(&a, &b).unwrap();
    let lower = autocast::with(Device::Cpu, Kind::BFloat16, || lpips.distance(&a, &b)).unwrap();
    assert_eq!(lower.kind(), Kind::Float);
    assert!(lower.allclose(&full, 0.05, 0.0, false), "{lower:?} {full:?}");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let (_generator, lpips) = lpips();
    let refused = lpips.features(&images(&[1, 2, 32, 32])).unwrap_err();
    assert_eq!(refused.to_string(), "images must have shape [B, 3, H, W] or [B, 1, H, W], got [1, 2, 32, 32]");
    assert!(matches!(lpips.features(&images(&[1, 3, 32, 8])), Err(LossError::Size { least: 16, .. })));
    let reference = lpips.features(&images(&[2, 3, 16, 16])).unwrap();
    assert!(matches!(lpips.distance_to(&images(&[1, 3, 16, 16]), &reference), Err(LossError::Shape { .. })));
}
