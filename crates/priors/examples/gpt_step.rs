//! Steps per second of training a GPT on random tokens: forward, backward, clipping, AdamW.
//!
//! Its counterpart is benches/peers/gpt_step.py. Prints one line of JSON:
//! `cargo run --release -p vqkit-priors --example gpt_step -- --batch 4 --precision fp32 --threads 2`.

use std::error::Error;
use std::time::Instant;

use mimalloc::MiMalloc;
use serde_json::json;
use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{Condition, Gpt2Config, Prior, PriorSpec};
use vqkit_torch::optim::{Adam, AdamConfig, ParamGroup, clip_grad_norm, decays};
use vqkit_torch::{TokenGrid, autocast, device, threads, weights};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Steps before the clock starts.
const WARM_UP: u32 = 2;

struct Options {
    layers: i64,
    width: i64,
    heads: i64,
    codes: i64,
    tokens: i64,
    batch: i64,
    threads: i32,
    seconds: f64,
    precision: String,
    device: Device,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (precision, device) = ("fp32".to_owned(), Device::Cpu);
        let mut options = Self {
            layers: 12,
            width: 512,
            heads: 8,
            codes: 1024,
            tokens: 256,
            batch: 4,
            threads: 2,
            seconds: 20.0,
            precision,
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
                "--threads" => options.threads = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--precision" => options.precision = value,
                "--peer-precision" => {}
                "--device" => options.device = device::parse(&value)?,
                _ => return Err(format!("unknown option `{name}`").into()),
            }
        }
        Ok(options)
    }
}

/// The model, and what moves its weights.
struct Training {
    gpt: vqkit_priors::Gpt,
    trained: Vec<Tensor>,
    optimizer: Adam,
    targets: [TokenGrid; 1],
    precision: Kind,
}

impl Training {
    fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let vs = nn::VarStore::new(options.device);
        let spec = PriorSpec::new(vec![options.codes], [1, options.tokens]);
        let gpt = Gpt2Config::new(options.layers, options.heads, options.width).build(&vs.root(), &spec)?;
        let (decayed, plain): (Vec<_>, Vec<_>) =
            weights::trainable(&vs).into_iter().partition(|(name, value)| decays(name, value));
        let trained = decayed.iter().chain(&plain).map(|(_, value)| value.shallow_clone()).collect();
        let group = |name: &str, params, weight_decay| ParamGroup { name: name.into(), params, lr: 1e-4, weight_decay };
        let groups = vec![group("decayed", decayed, 0.01), group("plain", plain, 0.0)];
        let indices =
            Tensor::randint(options.codes, [options.batch, 1, 1, options.tokens], (Kind::Int64, options.device));
        Ok(Self {
            gpt,
            trained,
            optimizer: Adam::new(groups, AdamConfig::adamw((0.9, 0.95)))?,
            targets: [TokenGrid::new(indices, vec![options.codes])?],
            precision: if options.precision == "bf16" { Kind::BFloat16 } else { Kind::Float },
        })
    }

    fn step(&mut self) -> Result<f64, Box<dyn Error>> {
        self.optimizer.zero_grad();
        let forward = || self.gpt.loss(&self.targets, &Condition::none(), true);
        let loss = match self.precision {
            Kind::Float => forward(),
            kind => autocast::with(self.gpt.device(), kind, forward),
        }?
        .image;
        loss.backward();
        let _ = clip_grad_norm(&self.trained, 1.0)?;
        self.optimizer.step()?;
        Ok(f64::try_from(&loss)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    threads::set(options.threads);
    tch::manual_seed(0);
    let mut training = Training::new(&options)?;
    for _ in 0..WARM_UP {
        training.step()?;
    }
    let (start, mut steps, mut loss) = (Instant::now(), 0u32, f64::NAN);
    while steps < 2 || start.elapsed().as_secs_f64() < options.seconds {
        loss = training.step()?;
        steps += 1;
    }
    let steps_per_second = f64::from(steps) / start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"steps_per_second": steps_per_second, "steps": steps, "loss": loss, "precision": options.precision})
    );
    Ok(())
}
