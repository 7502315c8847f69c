//! Sampling by the cursor of Gated PixelCNN, beside one full pass: a loop of full passes takes one pass per position,
//! so `full-pass × side² / incremental` is the speed-up. `OMP_NUM_THREADS` sets the threads.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tch::{Device, nn};
use vqkit_priors::{Autoregressive, Condition, GatedPixelCnn, GatedPixelCnnConfig, Prior, PriorSpec, SampleOptions};
use vqkit_torch::Tokens;

const CODES: i64 = 512;
const LAYERS: i64 = 15;
const DIM: i64 = 64;
const BATCH: i64 = 16;

fn draw(prior: &GatedPixelCnn) -> Tokens {
    prior.generate(&Condition::none(), &SampleOptions::new(BATCH)).expect("defaults are allowed").tokens
}

fn sampling(criterion: &mut Criterion) {
    let _guard = tch::no_grad_guard();
    let mut group = criterion.benchmark_group("sample/pixelcnn");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for side in [8, 16, 32] {
        let vs = nn::VarStore::new(Device::Cpu);
        let spec = PriorSpec::new(vec![CODES], [side, side]);
        let prior =
            GatedPixelCnnConfig::new(DIM, LAYERS).build(&vs.root(), &spec).expect("the configuration is allowed");
        let tokens = draw(&prior);
        let size = format!("{side}x{side}/cpu");
        group.throughput(Throughput::Elements((BATCH * side * side) as u64));
        group.bench_function(BenchmarkId::new("incremental", &size), |bencher| bencher.iter(|| draw(&prior)));
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("full-pass", &size), |bencher| {
            bencher.iter(|| prior.logits(&tokens[0], &Condition::none()).expect("tokens fit"));
        });
    }
    group.finish();
}

criterion_group!(benches, sampling);
criterion_main!(benches);
