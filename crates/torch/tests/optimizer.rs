//! What an optimizer promises beside its arithmetic: which parameters move, and that its state carries everything.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};
use vqkit_testing::Draws;
use vqkit_torch::TorchError;
use vqkit_torch::optim::{Adam, AdamConfig, Muon, MuonConfig, ParamGroup, orthogonalize};
use vqkit_torch::weights;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn leaf(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, CPU).set_requires_grad(true)
}

fn group(name: &str, params: &[(&str, &Tensor)]) -> ParamGroup {
    let params = params.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shallow_clone())).collect();
    ParamGroup { name: name.into(), params, lr: 0.1, weight_decay: 0.01 }
}

fn adam(groups: Vec<ParamGroup>) -> Result<Adam, TorchError> {
    Adam::new(groups, AdamConfig::adamw((0.9, 0.95)))
}

fn descend(adam: &mut Adam, loss: &Tensor) {
    adam.zero_grad();
    loss.backward();
    adam.step().unwrap();
}

fn refused(groups: Vec<ParamGroup>) -> String {
    adam(groups).unwrap_err().to_string()
}

#[test]
fn a_state_put_back_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimizer.safetensors");
    let start = |weight: &Tensor| adam(vec![group("all", &[("w", weight)])]).unwrap();
    let loss = |weight: &Tensor| (weight - 3.0).pow_tensor_scalar(4).sum(Kind::Float);

    let whole = leaf(&[3, 2]);
    let mut uninterrupted = start(&whole);
    (0..3).for_each(|_| descend(&mut uninterrupted, &loss(&whole)));
    weights::save(&path, &uninterrupted.state(), &BTreeMap::new()).unwrap();
    let resumed = whole.detach().copy().set_requires_grad(true);
    (0..3).for_each(|_| descend(&mut uninterrupted, &loss(&whole)));

    let mut other = start(&resumed);
    other.load_state(&weights::read(&path).unwrap()).unwrap();
    (0..3).for_each(|_| descend(&mut other, &loss(&resumed)));
    assert_eq!(whole, resumed);
    assert_eq!(uninterrupted.state(), other.state());
    assert_eq!(other.state()["step.w"], Tensor::from(6.0_f32));
}

#[test]
fn a_parameter_without_a_gradient_stays() {
    let (used, idle) = (leaf(&[2]), leaf(&[2]));
    let mut adam = adam(vec![group("all", &[("used", &used), ("idle", &idle)])]).unwrap();
    descend(&mut adam, &(&used + &idle).sum(Kind::Float));
    let before = idle.detach().copy();
    descend(&mut adam, &used.sum(Kind::Float));
    assert_eq!(idle, before);
    assert_eq!(adam.state()["step.idle"], Tensor::from(1.0_f32));
    assert_eq!(adam.state()["step.used"], Tensor::from(2.0_f32));
}

#[test]
fn each_group_has_its_rate_and_decay() {
    let (fast, slow) = (leaf(&[1]), leaf(&[1]));
    let mut adam = adam(vec![group("fast", &[("a", &fast)]), group("slow", &[("b", &slow)])]).unwrap();
    adam.set_lr("slow", 0.0).unwrap();
    descend(&mut adam, &(&fast + &slow).sum(Kind::Float));
    assert_eq!(slow.double_value(&[0]), 1.0);
    // 1 * (1 - 0.1 * 0.01) - 0.1, since the first step has unit length.
    assert!((fast.double_value(&[0]) - 0.899).abs() < 1e-6);
    assert_eq!((adam.lr("fast"), adam.lr("slow"), adam.lr("none")), (Some(0.1), Some(0.0), None));
    adam.set_learning_rate(0.5);
    assert_eq!((adam.lr("fast"), adam.lr("slow")), (Some(0.5), Some(0.5)));
}

#[test]
fn a_gradient_in_another_layout_is_still_the_gradient() {
    let [plain, turned] = [false, true].map(|turn| {
        let value = Tensor::arange(6, CPU).view([2, 3]);
        let stored = if turn { value.transpose(0, 1).contiguous().transpose(0, 1) } else { value };
        let weight = stored.set_requires_grad(true);
        let mut adam = adam(vec![group("all", &[("w", &weight)])]).unwrap();
        descend(&mut adam, &(&weight * Tensor::arange(6, CPU).view([2, 3])).square().sum(Kind::Float));
        weight
    });
    assert!(plain.allclose(&turned, 0.0, 1e-7, false), "{plain} {turned}");
}

#[test]
fn a_foreign_state_is_refused_whole() {
    let weight = leaf(&[2]);
    let mut adam = adam(vec![group("all", &[("w", &weight)])]).unwrap();
    let mut state: BTreeMap<_, _> = adam.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
    state.insert("exp_avg.w".into(), Tensor::ones([2], CPU));
    state.insert("exp_avg_sq.w".into(), Tensor::ones([1], CPU));
    state.insert("step.x".into(), Tensor::from(1.0_f32));
    let message = adam.load_state(&state).unwrap_err().to_string();
    assert!(message.contains("2 differences") && message.contains("`exp_avg_sq.w` has shape [1]"), "{message}");
    assert!(message.contains("`step.x` is not wanted"), "{message}");
    assert_eq!(adam.state()["exp_avg.w"], Tensor::zeros([2], CPU));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let weight = leaf(&[2]);
    let one = || group("all", &[("w", &weight)]);
    assert_eq!(
        refused(vec![ParamGroup { lr: -1.0, ..one() }]),
        "`lr`: must be a finite number of at least 0, found -1"
    );
    assert!(refused(vec![ParamGroup { weight_decay: f64::NAN, ..one() }]).starts_with("`weight_decay`"));
    let wrong = AdamConfig { betas: (0.9, 1.0), ..AdamConfig::adam((0.9, 0.9)) };
    let message = Adam::new(vec![one()], wrong).unwrap_err().to_string();
    assert_eq!(message, "`betas`: must be in [0, 1), found 1");
    let mut adam = adam(vec![one()]).unwrap();
    assert_eq!(adam.set_lr("none", 0.1).unwrap_err().to_string(), "`group`: there is no group `none`, only [\"all\"]");
    adam.set_learning_rate(f64::INFINITY);
    assert!(adam.step().is_err());
}

#[test]
fn parameters_that_cannot_be_trained_are_refused() {
    let weight = leaf(&[2]);
    let twice = vec![group("a", &[("v", &weight)]), group("b", &[("w", &weight)])];
    assert_eq!(refused(twice), "`params`: `w` is given twice");
    assert_eq!(refused(vec![group("a", &[]), group("a", &[])]), "`groups`: the name `a` occurs twice");
    assert!(refused(vec![group("a", &[("w", &(&weight * 2.0))])]).contains("computed from other tensors"));
    let integers = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
    assert!(refused(vec![group("a", &[("n", &integers)])]).contains("no floating kind"));
    let double = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    assert!(refused(vec![group("a", &[("w", &weight), ("d", &double)])]).contains("one kind and device a group"));
    let gaps = no_grad(|| Tensor::zeros([4, 4], CPU).slice(1, 0, 4, 2)).detach();
    assert!(refused(vec![group("a", &[("g", &gaps)])]).contains("gaps"));
}

#[test]
fn a_parameter_that_changed_is_told_of() {
    let mut weight = leaf(&[2]);
    let mut adam = adam(vec![group("all", &[("w", &weight)])]).unwrap();
    weight.set_data(&Tensor::ones([2], (Kind::Double, Device::Cpu)));
    weight.sum(Kind::Double).backward();
    let message = adam.step().unwrap_err().to_string();
    assert!(message.contains("changed its kind, device or layout"), "{message}");
}

/// The iteration acts on each singular value by itself, so that an exact decomposition gives the same.
#[test]
fn orthogonalize_takes_each_singular_value_through_the_polynomial() {
    let draws = Draws::new(0);
    for shape in [[2, 5, 9], [2, 9, 5]] {
        let matrices = draws.randn(&shape).to_kind(Kind::Double);
        let (u, s, v) = matrices.svd(true, true);
        let mut x = &s / s.square().sum_dim_intlist([-1].as_slice(), true, Kind::Double).sqrt();
        for _ in 0..5 {
            x = &x * 3.4445 - x.pow_tensor_scalar(3) * 4.775 + x.pow_tensor_scalar(5) * 2.0315;
        }
        assert!(x.min().double_value(&[]) > 0.6 && x.max().double_value(&[]) < 1.25, "{x}");
        let expected = (u * x.unsqueeze(-2)).matmul(&v.transpose(-2, -1));
        let difference = (orthogonalize(&matrices, Kind::Double).unwrap() - expected).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{shape:?}: {difference}");
    }
}

#[test]
fn in_bfloat16_singular_values_come_out_near_one_too() {
    for shape in [[3, 24, 40], [3, 40, 24]] {
        let matrices = Draws::new(1).randn(&shape);
        let exact = orthogonalize(&matrices, Kind::Float).unwrap();
        let rounded = orthogonalize(&matrices, Kind::BFloat16).unwrap();
        assert_eq!(rounded.kind(), Kind::BFloat16);
        let distance = (rounded.to_kind(Kind::Float) - &exact).norm() / exact.norm();
        assert!(distance.double_value(&[]) < 0.03, "{distance}");
    }
}

#[test]
fn muon_s_first_step_is_the_orthogonalised_gradient() {
    let weight = leaf(&[3, 2, 2, 1]);
    let gradient = Draws::new(1).randn(&[3, 2, 2, 1]);
    let mut muon =
        Muon::new(group("hidden", &[("w", &weight)]), MuonConfig { momentum: 0.0, ..MuonConfig::default() }).unwrap();
    (&weight * &gradient).sum(Kind::Float).backward();
    muon.step().unwrap();
    let update = orthogonalize(&gradient.view([1, 3, 4]), Kind::Float).unwrap().view([3, 2, 2, 1]);
    let expected = Tensor::ones([3, 2, 2, 1], CPU) * (1.0 - 0.1 * 0.01) - update * (0.1 * 0.2 * 2.0);
    assert!((weight.detach() - expected).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn muon_s_state_put_back_continues_bit_for_bit() {
    let start = |first: &Tensor, second: &Tensor| {
        Muon::new(group("hidden", &[("first", first), ("second", second)]), MuonConfig::default()).unwrap()
    };
    let loss = |first: &Tensor, second: &Tensor| (first.matmul(second) - 3.0).square().sum(Kind::Float);
    let descend = |muon: &mut Muon, first: &Tensor, second: &Tensor| {
        muon.zero_grad();
        loss(first, second).backward();
        muon.step().unwrap();
    };
    let (first, second) = (leaf(&[4, 4]), leaf(&[4, 4]));
    let mut whole = start(&first, &second);
    (0..3).for_each(|_| descend(&mut whole, &first, &second));
    let state = whole.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
    let [first_again, second_again] = [&first, &second].map(|leaf| leaf.detach().copy().set_requires_grad(true));
    (0..3).for_each(|_| descend(&mut whole, &first, &second));

    let mut resumed = start(&first_again, &second_again);
    resumed.load_state(&state).unwrap();
    (0..3).for_each(|_| descend(&mut resumed, &first_again, &second_again));
    assert_eq!(first, first_again);
    assert_eq!(second, second_again);
    assert_eq!(whole.state(), resumed.state());
}

#[test]
fn muon_refuses_what_is_no_matrix() {
    let message = Muon::new(group("hidden", &[("bias", &leaf(&[3]))]), MuonConfig::default()).unwrap_err().to_string();
    assert!(message.contains("`bias`") && message.contains("[3]"), "{message}");
    let wrong =
        Muon::new(group("hidden", &[("w", &leaf(&[2, 2]))]), MuonConfig { momentum: 1.0, ..MuonConfig::default() });
    assert!(wrong.unwrap_err().to_string().starts_with("`momentum`"));
}
