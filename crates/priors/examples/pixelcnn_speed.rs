//! How much faster the cursor of Gated PixelCNN samples than the loop of full passes.
//!
//! Draws a batch of grids by the cursor, the best of three; then times full passes, and extrapolates to one per position.
//! Prints one line of JSON: `cargo run --release -p vqkit-priors --example pixelcnn_speed -- --side 32 --threads 2`.

use std::time::Instant;

use tch::{Device, nn};
use vqkit_priors::{Autoregressive, Condition, GatedPixelCnnConfig, Prior, PriorError, PriorSpec, SampleOptions};

/// Number of drawings of which the fastest counts.
const DRAWS: usize = 3;

/// What is measured; each field is an option `--name value`.
#[derive(Debug)]
struct Options {
    side: i64,
    batch: i64,
    layers: i64,
    dim: i64,
    codes: i64,
    threads: i64,
    passes: i64,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { side: 32, batch: 16, layers: 15, dim: 64, codes: 512, threads: 2, passes: 10 };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let field = match name.as_str() {
                "--side" => &mut options.side,
                "--batch" => &mut options.batch,
                "--layers" => &mut options.layers,
                "--dim" => &mut options.dim,
                "--codes" => &mut options.codes,
                "--threads" => &mut options.threads,
                "--passes" => &mut options.passes,
                other => return Err(format!("unknown option `{other}`")),
            };
            let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            *field = value.parse().ok().filter(|value| *value > 0).ok_or(format!("`{name} {value}`: not positive"))?;
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let Options { side, batch, layers, dim, codes, threads, passes } = options;
    tch::set_num_threads(i32::try_from(threads)?);
    let _guard = tch::no_grad_guard();
    let vs = nn::VarStore::new(Device::Cpu);
    let prior = GatedPixelCnnConfig::new(dim, layers).build(&vs.root(), &PriorSpec::new(vec![codes], [side, side]))?;

    let mut incremental = f64::INFINITY;
    let draw = || Ok::<_, PriorError>(prior.generate(&Condition::none(), &SampleOptions::new(batch))?.tokens);
    let mut tokens = draw()?;
    for _ in 0..DRAWS {
        let start = Instant::now();
        tokens = draw()?;
        incremental = incremental.min(start.elapsed().as_secs_f64());
    }
    let mut pass = f64::INFINITY;
    for _ in 0..passes {
        let start = Instant::now();
        let _ = prior.logits(&tokens[0], &Condition::none())?;
        pass = pass.min(start.elapsed().as_secs_f64());
    }
    let full = pass * (side * side) as f64;
    println!(
        "{{\"side\":{side},\"batch\":{batch},\"layers\":{layers},\"dim\":{dim},\"codes\":{codes},\"threads\":{threads},\
         \"full_pass_seconds\":{pass:.5},\"full_loop_seconds\":{full:.3},\"incremental_seconds\":{incremental:.4},\
         \"speed_up\":{:.1},\"speed_up_ceiling\":{}}}",
        full / incremental,
        side * side
    );
    Ok(())
}
