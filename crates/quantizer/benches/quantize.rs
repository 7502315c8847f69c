//! Latents to codes, and the step of a codebook: `quantize/KIND/SIZE/DEVICE`, throughput in positions.

use std::error::Error;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tch::{Cuda, Device, Kind, Tensor, nn};
use vqkit_quantizer::{Mode, Quantizer, QuantizerConfig};

/// Latents `[B, D, H, W]` that a tokenizer of 256-pixel images gives for one batch.
const SHAPE: [i64; 4] = [8, 64, 16, 16];
const CODEBOOK_SIZES: [i64; 3] = [512, 8192, 65536];
const TRAIN: Mode = Mode::Train { step: 0 };

fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// The quantizer of a kind, by its defaults but for what it must be told: a member with other keys is one line here.
fn build(kind: &str, size: i64, device: Device) -> Result<Box<dyn Quantizer>, Box<dyn Error>> {
    let (config, dim) = match kind {
        "vq" => (json!({ "type": kind, "codebook_size": size, "kmeans_init": false }), SHAPE[1]),
        "ema" => (ema(size), SHAPE[1]),
        "fsq" => (json!({ "type": kind, "levels": levels(size) }), levels(size).len() as i64),
        "lfq" | "bsq" => (json!({ "type": kind, "codebook_size": size }), i64::from(size.ilog2())),
        "residual" => (json!({ "type": kind, "num_quantizers": 4, "quantizer": ema(size) }), SHAPE[1]),
        "product" => (json!({ "type": kind, "groups": 4, "quantizer": ema(size) }), SHAPE[1]),
        _ => (json!({ "type": kind, "codebook_size": size }), SHAPE[1]),
    };
    Ok(serde_json::from_value::<QuantizerConfig>(config)?.build(&nn::VarStore::new(device).root(), dim)?)
}

fn ema(size: i64) -> Value {
    json!({ "type": "ema", "codebook_size": size, "kmeans_init": false })
}

/// The levels whose product comes near a size (Mentzer et al. 2023, table 1).
fn levels(size: i64) -> &'static [i64] {
    match size {
        ..1024 => &[8, 8, 8],
        1024..16384 => &[8, 8, 8, 5, 5],
        _ => &[8, 8, 8, 5, 5, 5],
    }
}

fn quantize(criterion: &mut Criterion) {
    let device = Device::cuda_if_available();
    let name = if device.is_cuda() { "cuda" } else { "cpu" };
    let positions = (SHAPE[0] * SHAPE[2] * SHAPE[3]) as u64;
    for verb in ["quantize", "update"] {
        let mut group = criterion.benchmark_group(verb);
        group.throughput(Throughput::Elements(positions)).sample_size(10);
        for kind in QuantizerConfig::TYPES {
            for size in CODEBOOK_SIZES {
                let mut quantizer = build(kind, size, device).expect("the sizes of this bench are valid");
                let shape = [SHAPE[0], quantizer.dim(), SHAPE[2], SHAPE[3]];
                let latents = Tensor::randn(shape, (Kind::Float, device));
                let quantized = quantizer.quantize(&latents, None, TRAIN).expect("the latents fit");
                group.bench_function(BenchmarkId::new(*kind, format!("{size}/{name}")), |bench| {
                    bench.iter(|| {
                        match verb {
                            "quantize" => drop(black_box(quantizer.quantize(&latents, None, TRAIN))),
                            _ => drop(black_box(quantizer.update(&latents, &quantized))),
                        }
                        wait_for(device);
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, quantize);
criterion_main!(benches);
