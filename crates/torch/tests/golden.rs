//! Optimizers, clipping, averaged weights and the schedule against PyTorch, latent-diffusion and taming-transformers.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Tensor, no_grad};
use vqkit_testing::Golden;
use vqkit_torch::ema::WeightEma;
use vqkit_torch::optim::{Adam, AdamConfig, ParamGroup, clip_grad_norm};
use vqkit_torch::schedule::{Schedule, WarmupCosine};

#[test]
fn golden_optim() {
    let golden = Golden::open("optim");
    optimizer(&golden, "adamw", true);
    optimizer(&golden, "adam", false);
    clipping(&golden);
    average(&golden, "warm", true);
    average(&golden, "const", false);
    schedule(&golden);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// A leaf whose gradient is `gradient`.
fn leaf(value: &Tensor) -> Tensor {
    value.copy().set_requires_grad(true)
}

fn set_gradient(parameter: &Tensor, gradient: &Tensor) {
    (parameter * gradient).sum(parameter.kind()).backward();
}

fn stacked(tensors: &[Tensor]) -> Tensor {
    Tensor::stack(tensors, 0)
}

fn optimizer(golden: &Golden, name: &str, decoupled: bool) {
    let config = &golden.config()["config"][name];
    let betas = (number(&config["betas"][0]), number(&config["betas"][1]));
    let parameter = leaf(&golden.input("param"));
    let group = ParamGroup {
        name: "all".into(),
        params: vec![("p".into(), parameter.shallow_clone())],
        lr: number(&config["lr"]),
        weight_decay: number(&config["weight_decay"]),
    };
    let mut adam = Adam::new(vec![group], AdamConfig { betas, eps: number(&config["eps"]), decoupled }).unwrap();
    let mut seen: [Vec<Tensor>; 3] = Default::default();
    for gradient in golden.input("grads").unbind(0) {
        adam.zero_grad();
        set_gradient(&parameter, &gradient);
        adam.step().unwrap();
        let state = adam.state();
        for (list, tensor) in seen.iter_mut().zip([&parameter, &state["exp_avg.p"], &state["exp_avg_sq.p"]]) {
            list.push(tensor.detach().copy());
        }
    }
    for (list, key) in seen.iter().zip(["param", "exp_avg", "exp_avg_sq"]) {
        golden.close(&format!("{name}/{key}"), &stacked(list));
    }
}

fn clipping(golden: &Golden) {
    assert_eq!(number(&golden.config()["config"]["norm_type"]), 2.0, "gradients are clipped by their 2-norm");
    let inputs = golden.keys().filter(|key| key.starts_with("clip/grad")).count();
    for limit in golden.config()["config"]["clip_max_norm"].as_array().unwrap() {
        let parameters: Vec<_> = (0..inputs)
            .map(|index| {
                let gradient = golden.input(&format!("clip/grad{index}"));
                let parameter = leaf(&gradient.zeros_like());
                set_gradient(&parameter, &gradient);
                parameter
            })
            .collect();
        let norm = clip_grad_norm(&parameters, number(limit)).unwrap();
        let prefix = format!("clip/max{}", number(limit));
        golden.close(&format!("{prefix}_total_norm"), &norm);
        for (index, parameter) in parameters.iter().enumerate() {
            golden.close(&format!("{prefix}_grad{index}"), &parameter.grad());
        }
    }
}

fn average(golden: &Golden, name: &str, warmup: bool) {
    let vs = VarStore::new(Device::Cpu);
    let values = golden.input("ema/weights").unbind(0);
    let mut weight = vs.root().var_copy("weight", &values[0]);
    let mut ema = WeightEma::new(&vs, number(&golden.config()["config"]["ema_decay"]), warmup).unwrap();
    let (mut averages, mut updates, mut decays) = (Vec::new(), Vec::new(), Vec::new());
    for value in &values[1..] {
        no_grad(|| weight.copy_(value));
        decays.push(ema.next_decay());
        ema.update(&vs).unwrap();
        updates.push(ema.num_updates());
        averages.push(ema.tensors()["weight"].copy());
    }
    golden.close(&format!("ema/{name}_shadow"), &stacked(&averages));
    golden.equal(&format!("ema/{name}_num_updates"), &Tensor::from_slice(&updates));
    golden.close(&format!("ema/{name}_decay"), &Tensor::from_slice(&decays));
}

fn schedule(golden: &Golden) {
    let config = &golden.config()["config"]["lr"];
    let schedule = Schedule::WarmupCosine(WarmupCosine {
        warmup_steps: config["warm_up_steps"].as_u64().unwrap(),
        decay_steps: config["max_decay_steps"].as_u64(),
        start: number(&config["lr_start"]),
        peak: number(&config["lr_max"]),
        end: number(&config["lr_min"]),
    });
    let steps = golden.input("lr/warmup_cosine").size()[0] as u64;
    let factors: Vec<_> = (0..steps).map(|step| schedule.factor(step, steps)).collect();
    golden.close("lr/warmup_cosine", &Tensor::from_slice(&factors));
}
