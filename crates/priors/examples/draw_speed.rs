//! What the sampler itself costs for each token: a prior that answers at once, drawn from in every way.
//!
//! `cargo run --release -p vqkit-priors --example draw_speed -- --threads 2` prints one line of JSON per setting, in
//! microseconds per position.

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, Condition, Cursor, Prior, PriorError, PriorLoss, PriorSpec, SampleOptions,
    Sampled, Sampling, autoregressive,
};
use vqkit_torch::TokenGrid;

/// Gives the same logits everywhere.
#[derive(Debug)]
struct Instantly {
    spec: PriorSpec,
    logits: Tensor,
}

struct Nothing<'p> {
    prior: &'p Instantly,
    batch: i64,
    position: i64,
}

impl Prior for Instantly {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }
    fn device(&self) -> Device {
        Device::Cpu
    }
    fn loss(&self, _: &[TokenGrid], _: &Condition, _: bool) -> Result<PriorLoss, PriorError> {
        Err(PriorError::Finished(0))
    }
    fn null(&self, condition: &Condition, _: i64) -> Result<Condition, PriorError> {
        Ok(condition.clone())
    }
    fn generate(&self, condition: &Condition, options: &SampleOptions) -> Result<Sampled, PriorError> {
        autoregressive::sample(self, condition, options)
    }
    fn check_sampling(&self, sampling: &Sampling) -> Result<(), PriorError> {
        autoregressive::check(self, sampling)
    }
}

impl Autoregressive for Instantly {
    fn logits(&self, _: &TokenGrid, _: &Condition) -> Result<Tensor, PriorError> {
        Err(PriorError::Finished(0))
    }
    fn start(&self, _: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        Ok(Box::new(Nothing { prior: self, batch, position: 0 }))
    }
    fn row_multiple(&self) -> i64 {
        1
    }
}

impl Cursor for Nothing<'_> {
    fn logits(&mut self) -> Result<Tensor, PriorError> {
        Ok(self.prior.logits.narrow(0, 0, self.batch))
    }
    fn push(&mut self, _: &Tensor) -> Result<(), PriorError> {
        self.position += 1;
        Ok(())
    }
    fn position(&self) -> i64 {
        self.position
    }
    fn len(&self) -> i64 {
        self.prior.spec.positions()
    }
}

fn settings() -> Vec<(&'static str, AutoregressiveSampling)> {
    let plain = AutoregressiveSampling::default;
    vec![
        ("greedy", AutoregressiveSampling { temperature: 0.0, ..plain() }),
        ("plain", plain()),
        ("top_k 100", AutoregressiveSampling { top_k: Some(100), ..plain() }),
        ("top_k 2000", AutoregressiveSampling { top_k: Some(2000), ..plain() }),
        ("top_p 0.9", AutoregressiveSampling { top_p: Some(0.9), ..plain() }),
        ("top_k 100, top_p 0.9", AutoregressiveSampling { top_k: Some(100), top_p: Some(0.9), ..plain() }),
        ("min_p 0.05", AutoregressiveSampling { min_p: Some(0.05), ..plain() }),
        ("guided", AutoregressiveSampling { cfg_scale: 2.0, ..plain() }),
        ("no_repeat_ngram 3", AutoregressiveSampling { no_repeat_ngram: Some(3), ..plain() }),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(2).map_or(Ok(2), |threads| threads.parse())?;
    tch::set_num_threads(threads);
    tch::manual_seed(0);
    for (codes, batch) in [(1024, 1), (1024, 16), (16384, 1), (16384, 16)] {
        let spec = PriorSpec::new(vec![codes], [16, 16]);
        let logits = Tensor::randn([2 * batch, codes], (Kind::Float, Device::Cpu)) * 2.0;
        let prior = Instantly { spec, logits };
        for (name, sampling) in settings() {
            let options = SampleOptions { sampling: sampling.into(), ..SampleOptions::new(batch) };
            let mut best = f64::INFINITY;
            for _ in 0..3 {
                let start = Instant::now();
                prior.generate(&Condition::none(), &options)?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            let microseconds = best * 1e6 / prior.spec.positions() as f64;
            println!(
                "{{\"codes\":{codes},\"batch\":{batch},\"sampling\":\"{name}\",\"microseconds\":{microseconds:.1}}}"
            );
        }
    }
    Ok(())
}
