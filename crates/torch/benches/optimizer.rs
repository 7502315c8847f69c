//! One step of AdamW and one clipping, against `tch`'s own, for a network of many tensors and for one of few large ones.
//!
//! `cargo bench -p vqkit-torch`; a throughput of elements is one of parameters.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};
use vqkit_torch::optim::{Adam, AdamConfig, ParamGroup, clip_grad_norm};
use vqkit_torch::weights;

/// Name, number of weights, and their shape.
const NETWORKS: [(&str, i64, [i64; 2]); 2] = [("many-small", 400, [64, 64]), ("few-large", 8, [1024, 1024])];

/// A network whose every weight has a gradient.
fn network(count: i64, shape: [i64; 2]) -> VarStore {
    let vs = VarStore::new(Device::Cpu);
    let weights: Vec<_> = (0..count).map(|index| vs.root().randn_standard(&format!("w{index}"), &shape)).collect();
    let sums: Vec<_> = weights.iter().map(|weight| weight.square().sum(Kind::Float)).collect();
    Tensor::stack(&sums, 0).sum(Kind::Float).backward();
    vs
}

fn bench(criterion: &mut Criterion) {
    let config = AdamConfig::adamw((0.9, 0.999));
    for (name, count, shape) in NETWORKS {
        let vs = network(count, shape);
        let mut group = criterion.benchmark_group("optimizer");
        group.throughput(Throughput::Elements((count * shape[0] * shape[1]).unsigned_abs()));

        let params = ParamGroup { name: "all".into(), params: weights::trainable(&vs), lr: 1e-4, weight_decay: 0.01 };
        let mut fused = Adam::new(vec![params], config).expect("parameters of one kind on one device");
        group.bench_function(BenchmarkId::new("fused", name), |bencher| {
            bencher.iter(|| fused.step().expect("every gradient is dense"));
        });
        let mut plain = nn::AdamW::default().build(&vs, 1e-4).expect("variables of one kind on one device");
        group.bench_function(BenchmarkId::new("tch", name), |bencher| bencher.iter(|| plain.step()));

        let variables = vs.trainable_variables();
        group.bench_function(BenchmarkId::new("clip", name), |bencher| {
            bencher.iter(|| black_box(clip_grad_norm(&variables, 1.0)).expect("every gradient is dense"));
        });
        group.bench_function(BenchmarkId::new("tch-clip", name), |bencher| {
            bencher.iter(|| plain.clip_grad_norm(1.0));
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
