//! Against libtorch.

use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use super::*;

/// Values and gradients of a normalisation.
fn results(
    work: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    [x, weight, bias, at_result]: [&Tensor; 4],
) -> Vec<Tensor> {
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.detach().set_requires_grad(true));
    let result = work(&x, &weight, &bias);
    let loss = (result.to_kind(Kind::Float) * at_result).sum(Kind::Float);
    loss.backward();
    [result.detach(), x.grad(), weight.grad(), bias.grad()].map(|tensor| tensor.to_kind(Kind::Double)).into()
}

fn theirs(x: &Tensor, form: GroupNorm, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Tensor {
    let normalised = x.group_norm(form.groups, weight, bias, form.eps, true);
    if form.activation == Activation::Silu { normalised.silu() } else { normalised }
}

/// The largest difference as a share of the largest value.
fn error(ours: &Tensor, exact: &Tensor) -> f64 {
    let largest = exact.abs().max().double_value(&[]);
    (ours - exact).abs().max().double_value(&[]) / largest.max(1e-3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// In f32 near to f64, in either layout; in bfloat16 within its rounding. Groups are not so small that their variance could
    /// vanish by chance.
    #[test]
    fn values_and_gradients_are_those_of_libtorch(
        images in 1i64..4, groups in 1i64..5, width in 1i64..24, height in 4i64..9, columns in 4i64..40,
        mean in prop_oneof![Just(0.0), Just(50.0)], silu: bool, last: bool, seed: u16,
    ) {
        tch::manual_seed(seed.into());
        let channels = groups * width;
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let mut x = draw(&[images, channels, height, columns]) * 2.0 + mean;
        if last {
            x = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        }
        let (weight, bias, at_result) = (draw(&[channels]), draw(&[channels]), draw(&x.size()));
        let activation = if silu { Activation::Silu } else { Activation::None };
        let form = GroupNorm { groups, eps: 1e-5, activation };
        let ours = |x: &Tensor, weight: &Tensor, bias: &Tensor| group_norm(x, form, Some(weight), Some(bias));
        let exact = {
            let wide = [&x, &weight, &bias, &at_result].map(|tensor| tensor.to_kind(Kind::Double));
            results(|x, weight, bias| theirs(x, form, Some(weight), Some(bias)), wide.each_ref())
        };
        let in_f32 = results(ours, [&x, &weight, &bias, &at_result]);
        for (ours, exact) in in_f32.iter().zip(&exact) {
            prop_assert!(error(ours, exact) < 5e-4, "{}", error(ours, exact));
        }
        if mean == 0.0 {
            for (ours, exact) in in_f32.iter().zip(&exact).take(1) {
                prop_assert!(error(ours, exact) < 1e-5, "{}", error(ours, exact));
            }
            let low = results(ours, [&x.to_kind(Kind::BFloat16), &weight, &bias, &at_result]);
            for (ours, exact) in low.iter().zip(&exact) {
                prop_assert!(error(ours, exact) < 0.1, "{}", error(ours, exact));
            }
        }
    }
}

#[test]
fn the_layout_is_that_of_the_convolutions_and_threads_change_nothing() {
    let x = Tensor::randn([3, 96, 40, 33], (Kind::Float, Device::Cpu));
    let form = GroupNorm { groups: 32, eps: 1e-6, activation: Activation::Silu };
    let with = |threads| {
        tch::set_num_threads(threads);
        let leaf = x.detach().set_requires_grad(true);
        let result = group_norm(&leaf, form, None, None);
        result.square().sum(Kind::Float).backward();
        (result, leaf.grad())
    };
    let (one, two) = (with(1), with(2));
    assert_eq!(one.0, two.0);
    assert_eq!(one.1, two.1);
    assert!(one.0.permute([0, 2, 3, 1]).is_contiguous());
}

#[test]
fn a_group_of_one_value_is_its_bias() {
    let x = Tensor::randn([2, 3, 1, 1], (Kind::Float, Device::Cpu));
    let bias = Tensor::from_slice(&[1.0f32, -2.0, 0.5]);
    let form = GroupNorm { groups: 3, eps: 1e-6, activation: Activation::None };
    let result = group_norm(&x, form, None, Some(&bias)).view([2, 3]);
    assert!(result.allclose(&bias.expand([2, 3], false), 1e-5, 1e-3, false), "{result:?}");
}

#[test]
fn nan_and_infinity_spread_over_their_group_alone() {
    for bad in [f64::NAN, f64::INFINITY] {
        let x = Tensor::randn([1, 4, 3, 3], (Kind::Float, Device::Cpu));
        let _ = x.get(0).get(0).get(1).get(1).fill_(bad);
        let form = GroupNorm { groups: 2, eps: 1e-6, activation: Activation::Silu };
        let result = group_norm(&x, form, None, None);
        assert!(result.narrow(1, 0, 2).isnan().any().int64_value(&[]) == 1);
        assert!(result.narrow(1, 2, 2).isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn other_kinds_are_libtorchs() {
    let x = Tensor::randn([2, 4, 3, 3], (Kind::Double, Device::Cpu));
    let form = GroupNorm { groups: 2, eps: 1e-6, activation: Activation::Silu };
    assert_eq!(group_norm(&x, form, None, None), theirs(&x, form, None, None));
}
