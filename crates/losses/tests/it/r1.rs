//! The penalty on a discriminator's slope, against differences.

use tch::{Device, Kind, Tensor, nn, no_grad};
use vqkit_losses::{DiscriminatorNorm, PatchGan, PatchGanConfig, r1};
use vqkit_testing::{Draws, generator};
use vqkit_torch::autocast;

const STEP: f64 = 1e-2;

/// A smooth discriminator with one weight per element of the image.
fn discriminator(weight: &Tensor, images: &Tensor) -> Tensor {
    (images * weight).tanh().sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float)
}

fn penalty(weight: &Tensor, images: &Tensor) -> Tensor {
    r1(|images| Ok(discriminator(weight, images)), images).unwrap()
}

#[test]
fn the_penalty_is_the_squared_slope() {
    let draws = Draws::new(1);
    let options = (Kind::Float, Device::Cpu);
    let (images, weight) = (draws.randn(&[2, 1, 2, 2]), draws.randn(&[1, 1, 2, 2]));
    let mut slopes = 0.0;
    for at in 0..images.numel() as i64 {
        let bump = Tensor::zeros([images.numel() as i64], options);
        let _ = bump.get(at).fill_(STEP);
        let bump = bump.view([2, 1, 2, 2]);
        let up = discriminator(&weight, &(&images + &bump)).sum(Kind::Double);
        let down = discriminator(&weight, &(&images - &bump)).sum(Kind::Double);
        slopes += ((up - down).double_value(&[]) / (2.0 * STEP)).powi(2);
    }
    let found = penalty(&weight, &images).double_value(&[]);
    assert!((found - slopes / 4.0).abs() < 1e-3 * found, "{found}, by differences {}", slopes / 4.0);
}

#[test]
fn its_own_gradient_agrees_with_differences() {
    let draws = Draws::new(2);
    let images = draws.randn(&[2, 1, 2, 2]);
    let weight = draws.randn(&[1, 1, 2, 2]).set_requires_grad(true);
    penalty(&weight, &images).backward();
    for at in 0..4 {
        let moved = |by: f64| {
            let weight = weight.detach().copy();
            let _ = no_grad(|| weight.view(-1).get(at).g_add_scalar_(by));
            penalty(&weight, &images).double_value(&[])
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        let found = weight.grad().view(-1).double_value(&[at]);
        assert!((found - difference).abs() < 2e-3 * (1.0 + difference.abs()), "{at}: {found}, {difference}");
    }
}

#[test]
fn it_reaches_a_patchgan_and_leaves_other_gradients_alone() {
    let _generator = generator(3);
    let images = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
    for norm in [DiscriminatorNorm::Batch, DiscriminatorNorm::Actnorm, DiscriminatorNorm::None] {
        let vs = nn::VarStore::new(Device::Cpu);
        let patchgan = PatchGan::new(&vs.root(), 3, &PatchGanConfig { ndf: 4, n_layers: 2, norm }).unwrap();
        let compute = || r1(|images| patchgan.forward(images, true), &images).unwrap();
        let penalty = compute();
        assert!(vs.trainable_variables().iter().all(|variable| !variable.grad().defined()), "{norm:?}");
        assert!(!images.requires_grad() && penalty.double_value(&[]) > 0.0, "{norm:?}");
        penalty.backward();
        let weight = &vs.variables()["main.0.weight"];
        assert!(weight.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0, "{norm:?}");
        if norm == DiscriminatorNorm::None {
            assert_eq!(autocast::with(Device::Cpu, Kind::BFloat16, compute), penalty);
        }
    }
}
