//! Steps per second of a quantizer in training: quantize, backward, update; and how near that comes to its matrix product.
//!
//! Its counterpart is benches/peers/quantizer_step.py. Prints one line of JSON:
//! `cargo run --release -p vqkit-quantizer --example quantizer_step -- --kind ema --points 8192 --dim 64 --codes 1024 --threads 2`.
//!
//! `extra_bytes` is the most memory that the process held in a step beyond what it held before it, with latents and
//! quantizer made; a step on a few points comes first, so that code that is loaded when it is first run is not counted.
//! `floor_per_second` is how often the product of points and codes alone runs, by turns with the steps.

use std::error::Error;
use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{Mode, Quantizer, QuantizerConfig};
use vqkit_torch::autograd::{Graph, grad};
use vqkit_torch::{memory, threads};

const FEW_POINTS: i64 = 16;
/// Scores of the product at a time, and codes among them: they stay in cache.
const BLOCK_SCORES: i64 = 1 << 21;
const BLOCK_CODES: i64 = 1 << 12;

struct Options {
    kind: String,
    points: i64,
    dim: i64,
    codes: i64,
    threads: i32,
    seconds: f64,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { kind: "ema".into(), points: 8192, dim: 64, codes: 1024, threads: 2, seconds: 4.0 };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--kind" => options.kind = value,
                "--points" => options.points = value.parse()?,
                "--dim" => options.dim = value.parse()?,
                "--codes" => options.codes = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                _ => return Err(format!("unknown option `{name}`").into()),
            }
        }
        Ok(options)
    }

    /// The quantizer that does the same work as the peer's of this kind; any other kind by its defaults. For `lfq` that is not
    /// the same work: ours takes the exact entropies, which need no probabilities of single codes, the peer's clamps them.
    fn config(&self) -> Result<QuantizerConfig, Box<dyn Error>> {
        let Self { kind, codes, .. } = self;
        let config = match kind.as_str() {
            "ema" => json!({
                "type": kind,
                "codebook_size": codes,
                "decay": 0.8,
                "commitment_weight": 1.0,
                "kmeans_init": false,
                "revive_after": 0,
                "gradient": "rotation",
            }),
            "fsq" => json!({ "type": kind, "levels": [8, 5, 5, 5] }),
            _ => json!({ "type": kind, "codebook_size": codes }),
        };
        Ok(serde_json::from_value(config)?)
    }
}

/// What is measured: one quantizer and one batch.
struct Training {
    quantizer: Box<dyn Quantizer>,
    latents: Tensor,
    probe: Tensor,
    steps: u64,
}

impl Training {
    /// Latents `[1, D, N]` with channels last in memory, as encoders give them; the pull of the codes, alike.
    fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let random = |width| Tensor::randn([1, options.points, width], (Kind::Float, Device::Cpu)).transpose(1, 2);
        let vs = nn::VarStore::new(Device::Cpu);
        let quantizer = options.config()?.build(&vs.root(), options.dim)?;
        let pull = random(quantizer.code_dim());
        let probe = &pull / pull.numel() as f64;
        Ok(Self { quantizer, latents: random(options.dim).set_requires_grad(true), probe, steps: 0 })
    }

    fn few(&self) -> (Tensor, Tensor) {
        let few = |all: &Tensor| all.narrow(-1, 0, FEW_POINTS.min(all.size()[2])).contiguous();
        (few(&self.latents.detach()).set_requires_grad(true), few(&self.probe))
    }

    /// One step on latents and pull of the codes; gives the quantizer's loss.
    fn step(&mut self, latents: &Tensor, probe: &Tensor) -> Result<f64, Box<dyn Error>> {
        let quantized = self.quantizer.quantize(latents, None, Mode::Train { step: self.steps })?;
        let total = &quantized.losses.total;
        let one = total.ones_like();
        let mut outputs = vec![(&quantized.codes, probe)];
        if total.requires_grad() {
            outputs.push((total, &one));
        }
        let gradients = grad(&outputs, &[latents], Graph::Free)?;
        self.quantizer.update(latents, &quantized)?;
        self.steps += 1;
        drop(gradients);
        Ok(f64::try_from(total)?)
    }

    fn whole_step(&mut self) -> Result<f64, Box<dyn Error>> {
        let (latents, probe) = (self.latents.shallow_clone(), self.probe.shallow_clone());
        self.step(&latents, &probe)
    }
}

/// How much more than now the process holds at its peak from here on.
struct Memory {
    before: u64,
}

impl Memory {
    fn start() -> Option<Self> {
        // The peak starts again at what is held now. Where the system has no such file, the first peak is what counts.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Some(Self { before: status("VmRSS").or_else(memory::process_peak_bytes)? })
    }

    fn extra(&self) -> Option<u64> {
        Some(status("VmHWM").or_else(memory::process_peak_bytes)?.saturating_sub(self.before))
    }
}

/// A line of /proc/self/status in bytes; `None` where the system has none.
fn status(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The product of points `[N, D]` and codes `[K, D]`, in blocks.
struct Floor {
    points: Tensor,
    codes: Tensor,
    scratch: Tensor,
}

impl Floor {
    /// `None` for the kinds that search no table.
    fn of(training: &Training, kind: &str) -> Option<Self> {
        if !["ema", "vq"].contains(&kind) {
            return None;
        }
        let codes = training.quantizer.codebooks().into_iter().next()?.codes;
        let points = training.latents.detach().squeeze_dim(0).transpose(0, 1);
        Some(Self { points, codes, scratch: Tensor::empty([BLOCK_SCORES], (Kind::Float, Device::Cpu)) })
    }

    fn run(&self) {
        let (count, codes) = (self.points.size()[0], self.codes.size()[0]);
        let block_codes = BLOCK_CODES.min(codes);
        let block_points = BLOCK_SCORES / block_codes;
        for row in (0..count).step_by(block_points as usize) {
            let points = self.points.narrow(0, row, block_points.min(count - row));
            for first in (0..codes).step_by(block_codes as usize) {
                let block = self.codes.narrow(0, first, block_codes.min(codes - first)).transpose(0, 1);
                let shape = [points.size()[0], block.size()[1]];
                let out = self.scratch.narrow(0, 0, shape[0] * shape[1]).view(shape);
                let _ = points.mm_out(&out, &block);
            }
        }
    }
}

/// Seconds that a call takes.
fn seconds<T>(call: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = call();
    (start.elapsed().as_secs_f64(), result)
}

/// Steps, and the floor's product by turns with them.
fn time(training: &mut Training, floor: Option<&Floor>, least: f64) -> Result<Value, Box<dyn Error>> {
    let (mut steps, mut of_steps, mut of_floor, mut loss) = (0u64, 0.0, 0.0, f64::NAN);
    if let Some(floor) = floor {
        floor.run();
    }
    while steps < 2 || of_steps < least {
        let (taken, result) = seconds(|| training.whole_step());
        loss = result?;
        of_steps += taken;
        steps += 1;
        if let Some(floor) = floor {
            of_floor += seconds(|| floor.run()).0;
        }
    }
    Ok(json!({
        "steps_per_second": steps as f64 / of_steps,
        "steps": steps,
        "loss": loss,
        "floor_per_second": floor.map(|_| steps as f64 / of_floor),
        "of_floor": floor.map(|_| of_floor / of_steps),
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    threads::set(options.threads);
    tch::manual_seed(0);
    let mut training = Training::new(&options)?;
    let (latents, probe) = training.few();
    training.step(&latents, &probe)?;
    let held = Memory::start();
    let (start, mut warm_up) = (Instant::now(), 0);
    while warm_up < 2 || start.elapsed().as_secs_f64() < options.seconds / 4.0 {
        training.whole_step()?;
        warm_up += 1;
    }
    let extra = held.and_then(|held| held.extra());
    let floor = Floor::of(&training, &options.kind);
    let mut figures = time(&mut training, floor.as_ref(), options.seconds)?;
    figures["kind"] = json!(options.kind);
    figures["points"] = json!(options.points);
    figures["dim"] = json!(options.dim);
    figures["codes"] = json!(training.quantizer.codebook_sizes());
    figures["extra_bytes"] = json!(extra);
    println!("{figures}");
    Ok(())
}
