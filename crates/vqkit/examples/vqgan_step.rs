//! Steps per second of training a VQGAN: autoencoder, LPIPS on VGG16, and discriminator, on random images.
//!
//! Its counterpart is benches/peers/vqgan_step.py. Prints one line of JSON:
//! `cargo run --release -p vqkit --example vqgan_step -- --size 64 --batch 8 --precision fp32 --threads 2`.

use std::{error::Error, sync::Arc, time::Instant};

use mimalloc::MiMalloc;
use serde_json::json;
use tch::{Device, Kind, Tensor, nn::VarStore, no_grad};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss, Lpips, Perceptual};
use vqkit_recipe::{FinetunedPart, Modality, Recipe, Tokenizer};
use vqkit_run::{Context, Interrupt, Silent};
use vqkit_torch::{memory, weights};
use vqkit_train::{Step, TrainState};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Steps before the clock starts.
const WARM_UP: u64 = 3;

const RECIPE: &str = r#"
name = "vqgan-step"
[data]
image_size = 32
[data.source]
type = "shapes"
count = 8
[tokenizer]
type = "vqgan"
ch = 32
ch_mult = [1, 1, 2, 4]
num_res_blocks = 1
attn_resolutions = [4]
resolution = 32
z_channels = 64
embed_dim = 64
[tokenizer.quantizer]
type = "vq"
codebook_size = 1024
kmeans_init = false
[tokenizer.loss]
reconstruction = "l1"
[tokenizer.loss.adversarial.discriminator]
ndf = 64
n_layers = 2
[tokenizer.train]
steps = 1
batch_size = 8
learning_rate = 1e-4
betas = [0.5, 0.9]
"#;

struct Options {
    size: i64,
    batch: i64,
    threads: i32,
    precision: String,
    seconds: f64,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { size: 32, batch: 8, threads: 2, precision: "fp32".into(), seconds: 12.0 };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--size" => options.size = value.parse()?,
                "--batch" => options.batch = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                "--precision" => options.precision = value,
                "--seconds" => options.seconds = value.parse()?,
                _ => return Err(format!("unknown option `{name}`").into()),
            }
        }
        Ok(options)
    }
}

/// The states of tokenizer and discriminator, and their losses.
struct Training {
    tokenizer: vqkit_vqvae::Tokenizer,
    network: TrainState,
    discriminator_objective: DiscriminatorObjective,
    discriminator: TrainState,
    generator_loss: GeneratorLoss,
}

impl Training {
    fn new(config: &Tokenizer, kind: Kind) -> Result<Self, Box<dyn Error>> {
        let adversarial = config.loss.adversarial.as_ref().ok_or("the recipe has a discriminator")?;
        let (vs, discriminator_vs) = (VarStore::new(Device::Cpu), VarStore::new(Device::Cpu));
        let tokenizer = config.network.build(&vs.root(), 3, &config.quantizer)?;
        let discriminator_objective = DiscriminatorObjective::new(&discriminator_vs.root(), 3, &adversarial.objective)?;
        Ok(Self {
            tokenizer,
            network: TrainState::new(vs, &config.train, kind)?,
            discriminator_objective,
            discriminator: TrainState::new(discriminator_vs, &adversarial.train.beside(&config.train), kind)?,
            generator_loss: GeneratorLoss {
                reconstruction: config.loss.pixels.reconstruction,
                reconstruction_weight: config.loss.pixels.reconstruction_weight,
                perceptual: Some((1.0, Box::new(random_lpips(kind)))),
                kind,
            },
        })
    }

    /// A training step without gradient clipping, which the peer does not have; returns the discriminator's loss.
    fn step(&mut self, images: &Tensor, now: u64) -> Result<f64, Box<dyn Error>> {
        let Self { tokenizer, network, discriminator_objective, discriminator, generator_loss } = self;
        let step = Step {
            kind: generator_loss.kind,
            objective: generator_loss,
            part: FinetunedPart::All,
            discriminator_warmup_steps: 0,
            grad_accumulation: 1,
        };
        let output = step.run((tokenizer, network), Some((discriminator_objective, discriminator)), images, now)?;
        network.step(1.0)?;
        discriminator.step(1.0)?;
        no_grad(|| tokenizer.update(&output.reconstruction))?;
        if let Some((real, fake)) = &output.logits {
            discriminator_objective.update(real, fake);
        }
        let metrics = output.terms.metrics();
        Ok(metrics.iter().find(|(name, _)| name == "discriminator").map_or(f64::NAN, |(_, loss)| *loss))
    }
}

/// LPIPS with random weights on the scale of trained ones, prepared as for training.
fn random_lpips(kind: Kind) -> Lpips {
    let vs = VarStore::new(Device::Cpu);
    let mut network = Lpips::new(&vs.root());
    for (name, mut weight) in weights::tensors(&vs).into_iter().filter(|(name, _)| !name.starts_with("scaling_layer")) {
        let deviation = match weight.size()[..] {
            [channels_out, _, height, width] => (2.0 / (channels_out * height * width) as f64).sqrt(),
            _ => 0.0,
        };
        let _ = no_grad(|| weight.normal_(0.0, deviation));
        if name.starts_with("lin") {
            let _ = weight.abs_();
        }
    }
    network.prepare(kind);
    network
}

fn count(state: &TrainState) -> usize {
    weights::trainable(&state.vs).iter().map(|(_, weight)| weight.numel()).sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { size, batch, threads, precision, seconds } = Options::parse(std::env::args().skip(1))?;
    let recipe = Recipe::parse("the example", RECIPE, &[format!("precision={precision:?}")])?;
    let context = Context::new("cpu", Some(threads), Interrupt::default(), Arc::new(Silent))?;
    tch::manual_seed(0);
    let mut training = Training::new(recipe.tokenizer(Modality::Image)?, context.kind(recipe.head.precision))?;
    // Channels last, as in training.
    let images = Tensor::rand([batch, size, size, 3], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]) * 2.0 - 1.0;
    let mut loss = f64::NAN;
    for now in 0..WARM_UP {
        loss = training.step(&images, now)?;
    }
    let (start, mut now) = (Instant::now(), WARM_UP);
    while start.elapsed().as_secs_f64() < seconds {
        loss = training.step(&images, now)?;
        now += 1;
    }
    let steps = now - WARM_UP;
    println!(
        "{}",
        json!({
            "steps_per_second": steps as f64 / start.elapsed().as_secs_f64(),
            "steps": steps,
            "size": size,
            "batch": batch,
            "precision": precision,
            "parameters": count(&training.network),
            "discriminator_parameters": count(&training.discriminator),
            "discriminator_loss": loss,
            "peak_bytes": memory::process_peak_bytes(),
        })
    );
    Ok(())
}
