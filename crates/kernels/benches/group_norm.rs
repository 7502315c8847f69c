//! Group normalisation with SiLU, forward and back, against libtorch's in either layout.
//!
//! `cargo bench -p vqkit-kernels`; a throughput of elements is one of numbers.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};
use vqkit_kernels::{Activation, GroupNorm, group_norm};
use vqkit_torch::autograd::backward;

const GROUPS: i64 = 32;
const SHAPES: [[i64; 4]; 3] = [[8, 128, 8, 8], [4, 32, 128, 128], [4, 128, 64, 64]];

fn ours(x: &Tensor) -> Tensor {
    group_norm(x, GroupNorm { groups: GROUPS, eps: 1e-6, activation: Activation::Silu }, None, None)
}

fn theirs(x: &Tensor) -> Tensor {
    x.group_norm(GROUPS, None::<&Tensor>, None::<&Tensor>, 1e-6, true).silu()
}

/// The value, and the gradient at `x`.
fn both(x: &Tensor, work: fn(&Tensor) -> Tensor) {
    let x = x.detach().set_requires_grad(true);
    backward(&[(&work(&x), &x.detach())], &[]).expect("a graph that leads to `x`");
}

fn bench(criterion: &mut Criterion) {
    for kind in [Kind::Float, Kind::BFloat16] {
        for shape in SHAPES {
            let first = Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
            let last = first.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let mut group = criterion.benchmark_group(format!("group-norm/{kind:?}"));
            group.throughput(Throughput::Elements(shape.iter().product::<i64>().unsigned_abs()));
            let name = |who| BenchmarkId::new(who, format!("{shape:?}"));
            group.bench_function(name("ours, channels last"), |bencher| bencher.iter(|| both(&last, ours)));
            group.bench_function(name("libtorch, channels last"), |bencher| bencher.iter(|| both(&last, theirs)));
            group.bench_function(name("libtorch, channels first"), |bencher| bencher.iter(|| both(&first, theirs)));
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
