//! How fast features of FID's Inception are taken, and the Fréchet distance of 2048 dimensions; one line of JSON.
//!
//! The counterpart of `benches/peers/fid.py`, which does the same work with pytorch-fid on the same weights and numbers. The weights
//! are those of the golden `fid-inception`.

use std::{collections::HashMap, time::Instant};

use serde_json::json;
use tch::{Device, Kind, Tensor};
use vqkit_metrics::{FidInception, Gaussian};
use vqkit_testing::Golden;
use vqkit_torch::threads;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> = words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let number = |name: &str, or: f64| options.get(name).map_or(or, |value| value.parse().expect("a number"));
    threads::set(number("--threads", 2.0) as i32);
    tch::manual_seed(0);
    let seconds = number("--seconds", 15.0);
    let metrics = match options.get("--work").copied().unwrap_or("features") {
        "features" => features(number("--batch", 25.0) as i64, number("--size", 64.0) as i64, seconds),
        _ => distance(number("--width", 2048.0) as i64, seconds),
    };
    println!("{metrics}");
}

/// Pictures a second, and the sum of the first batch's features.
fn features(batch: i64, size: i64, seconds: f64) -> serde_json::Value {
    let golden = Golden::open("fid-inception");
    let network = FidInception::from_tensors(&golden.weights(), Device::Cpu).expect("weights of Inception");
    let images = Tensor::rand([batch, 3, size, size], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let once = || network.features(&images).expect("pictures in colour");
    let sum = once().sum(Kind::Double).double_value(&[]);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < seconds || count == 0 {
        let _ = once();
        count += batch;
    }
    json!({ "images_per_second": count as f64 / start.elapsed().as_secs_f64(), "images": count, "feature_sum": sum })
}

/// Distances a second, between the moments of 3,000 features each.
fn distance(width: i64, seconds: f64) -> serde_json::Value {
    let gathered = |shift: f64| {
        let mut gaussian = Gaussian::new(width);
        gaussian.add(&(Tensor::randn([3000, width], (Kind::Double, Device::Cpu)) + shift));
        (gaussian.mean(), gaussian.covariance())
    };
    let (here, there) = (gathered(0.0), gathered(0.1));
    let once = || vqkit_metrics::frechet_distance((&here.0, &here.1), (&there.0, &there.1));
    let found = once().expect("moments of features");
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < seconds || count == 0 {
        let _ = once();
        count += 1;
    }
    json!({ "distances_per_second": f64::from(count) / start.elapsed().as_secs_f64(), "distances": count, "distance": found })
}
