//! Latents to codes, and the step of a codebook: `quantize/KIND/SIZE/DEVICE`, throughput in positions.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tch::{Cuda, Device, Kind, Tensor, nn};
use vqkit_quantizer::{
    EmaVectorQuantizerConfig, GumbelQuantizerConfig, Mode, QuantizeError, Quantizer, QuantizerConfig,
    VectorQuantizerConfig,
};

/// Latents `[B, D, H, W]` that a tokenizer of 256-pixel images gives for one batch.
const SHAPE: [i64; 4] = [8, 64, 16, 16];
const CODEBOOK_SIZES: [i64; 3] = [512, 8192, 65536];
const TRAIN: Mode = Mode::Train { step: 0 };

fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn build(kind: &str, size: i64, device: Device) -> Result<Box<dyn Quantizer>, QuantizeError> {
    let config = match kind {
        "vq" => QuantizerConfig::Vq(VectorQuantizerConfig { kmeans_init: false, ..VectorQuantizerConfig::new(size) }),
        "gumbel" => QuantizerConfig::Gumbel(GumbelQuantizerConfig::new(size)),
        _ => {
            QuantizerConfig::Ema(EmaVectorQuantizerConfig { kmeans_init: false, ..EmaVectorQuantizerConfig::new(size) })
        }
    };
    config.build(&nn::VarStore::new(device).root(), SHAPE[1])
}

fn quantize(criterion: &mut Criterion) {
    let device = Device::cuda_if_available();
    let name = if device.is_cuda() { "cuda" } else { "cpu" };
    let latents = Tensor::randn(SHAPE, (Kind::Float, device));
    let positions = (SHAPE[0] * SHAPE[2] * SHAPE[3]) as u64;
    for verb in ["quantize", "update"] {
        let mut group = criterion.benchmark_group(verb);
        group.throughput(Throughput::Elements(positions)).sample_size(10);
        for kind in QuantizerConfig::TYPES {
            for size in CODEBOOK_SIZES {
                let mut quantizer = build(kind, size, device).expect("the sizes of this bench are valid");
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
