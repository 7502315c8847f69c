//! Tokens per second that a GPT draws, among the 100 likeliest at temperature 1, and how near that comes to what the machine
//! can do: to the pace at which memory is read (a batch of one reads every weight for each token), and to that of a large
//! matrix product.
//!
//! Its counterpart is benches/peers/gpt_sampling.py. Prints one line of JSON:
//! `cargo run --release -p vqkit-priors --example gpt_speed -- --batch 16 --weights bf16 --threads 2`.

use std::error::Error;
use std::time::Instant;

use mimalloc::MiMalloc;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{AutoregressiveSampling, Condition, Gpt2Config, Prior, PriorSpec, SampleOptions, WeightDtype};
use vqkit_torch::{device, threads};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const TOP_K: i64 = 100;
/// Numbers that are read to measure the memory: 1 GiB, far more than any cache holds.
const READ: i64 = 1 << 28;
/// Side of the matrices that are multiplied to measure the processor.
const SIDE: i64 = 2048;

struct Options {
    layers: i64,
    width: i64,
    heads: i64,
    codes: i64,
    tokens: i64,
    batch: i64,
    draws: usize,
    threads: i32,
    weights: String,
    device: Device,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (weights, device) = ("fp32".to_owned(), Device::Cpu);
        let mut options = Self {
            layers: 12,
            width: 512,
            heads: 8,
            codes: 1024,
            tokens: 256,
            batch: 1,
            draws: 3,
            threads: 2,
            weights,
            device,
        };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--layers" => options.layers = value.parse()?,
                "--width" => options.width = value.parse()?,
                "--heads" => options.heads = value.parse()?,
                "--codes" => options.codes = value.parse()?,
                "--tokens" => options.tokens = value.parse()?,
                "--batch" => options.batch = value.parse()?,
                "--draws" => options.draws = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                "--weights" => options.weights = value,
                "--device" => options.device = device::parse(&value)?,
                // What the peer is, its precision and its cache.
                "--peer" | "--precision" | "--cache" => {}
                _ => return Err(format!("unknown option `{name}`").into()),
            }
        }
        Ok(options)
    }

    fn weights(&self) -> Result<WeightDtype, Box<dyn Error>> {
        Ok(serde_json::from_value(json!(self.weights))?)
    }

    /// Numbers that a step multiplies with, and so reads: blocks and head.
    fn multiplied(&self) -> f64 {
        (12 * self.layers * self.width * self.width + self.codes * self.width) as f64
    }

    /// Keys and values that a step reads for each row, over all steps on average.
    fn kept(&self) -> f64 {
        (self.layers * self.width * self.tokens) as f64
    }
}

fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// Seconds of the fastest of some runs.
fn fastest(runs: usize, mut run: impl FnMut()) -> f64 {
    let times = (0..runs).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Bytes that the machine reads a second, and operations of f32 that it does a second.
fn ceilings(device: Device) -> (f64, f64) {
    let numbers = Tensor::ones([READ], (Kind::Float, device));
    let read = fastest(5, || {
        numbers.sum(Kind::Float).double_value(&[]);
    });
    let matrix = Tensor::ones([SIDE, SIDE], (Kind::Float, device));
    let multiplied = fastest(5, || {
        let _ = matrix.matmul(&matrix);
        wait(device);
    });
    (4.0 * READ as f64 / read, 2.0 * (SIDE as f64).powi(3) / multiplied)
}

fn measure(options: &Options) -> Result<Value, Box<dyn Error>> {
    let vs = nn::VarStore::new(options.device);
    let config = Gpt2Config::new(options.layers, options.heads, options.width);
    let mut gpt = config.build(&vs.root(), &PriorSpec::new(vec![options.codes], [1, options.tokens]))?;
    gpt.set_weight_dtype(options.weights()?)?;
    let sampling = AutoregressiveSampling { top_k: Some(TOP_K), ..AutoregressiveSampling::default() }.into();
    let draw_options = SampleOptions { sampling, ..SampleOptions::new(options.batch) };
    let draw = || gpt.generate(&Condition::none(), &draw_options);
    draw()?;
    let mut failed = None;
    let seconds = fastest(options.draws, || {
        failed = draw().err();
        wait(options.device);
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let (bandwidth, operations) = ceilings(options.device);
    let steps_per_second = options.tokens as f64 / seconds;
    let width = match options.weights.as_str() {
        "fp32" => 4.0,
        "bf16" => 2.0,
        _ => 1.0,
    };
    let rows = options.batch as f64;
    let bytes = options.multiplied() * width + rows * options.kept() * 4.0;
    let flops = 2.0 * rows * (options.multiplied() + options.kept());
    Ok(json!({
        "tokens_per_second": rows * steps_per_second,
        "weights": options.weights,
        "batch": options.batch,
        "of_bandwidth": bytes * steps_per_second / bandwidth,
        "of_product": flops * steps_per_second / operations,
        "bandwidth": bandwidth,
        "operations": operations,
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    threads::set(options.threads);
    tch::manual_seed(0);
    let _guard = tch::no_grad_guard();
    println!("{}", measure(&options)?);
    Ok(())
}
