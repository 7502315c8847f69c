//! Images per second of the loader on an archive: decode, antialiased resize, batch. Prints one line of JSON.
//!
//! `cargo run --release -p vqkit-data --example loader_throughput -- ARCHIVE [--workers 2] [--size 64] [--batch 64] [--images 8192]`

use std::{error::Error, path::Path, time::Instant};

use vqkit_data::{DataConfig, Loader, LoaderConfig};

const USAGE: &str = "usage: loader_throughput ARCHIVE [--workers N] [--size N] [--batch N] [--images N]";

struct Arguments {
    archive: String,
    workers: usize,
    size: usize,
    batch: usize,
    images: usize,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let archive = words.next().ok_or(USAGE)?;
    let mut read = Arguments { archive, workers: 2, size: 64, batch: 64, images: 8192 };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?.parse()?;
        match word.as_str() {
            "--workers" => read.workers = value,
            "--size" => read.size = value,
            "--batch" => read.batch = value,
            "--images" => read.images = value,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(read)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { archive, workers, size, batch, images } = arguments()?;
    let folder = Path::new(&archive).parent().unwrap_or(Path::new("."));
    let name = Path::new(&archive).file_name().and_then(|name| name.to_str()).ok_or(USAGE)?;
    let config: DataConfig = toml::from_str(&format!(
        "image_size = {size}\nroot = {folder:?}\nresize = 'bilinear'\n[source]\ntype = 'tar'\ntrain = {name:?}"
    ))?;
    let data = config.open()?;
    let config = LoaderConfig { batch_size: batch, workers: Some(workers), ..LoaderConfig::default() };
    let mut loader = Loader::new(&data.train, config)?;
    // The first batches warm up files and threads.
    for _ in 0..4 {
        loader.next().transpose()?;
    }
    let (start, mut count) = (Instant::now(), 0);
    while count < images {
        count += loader.next().transpose()?.map_or(images, |batch| batch.shape[0]);
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "images_per_second": rate, "images": count, "workers": workers, "size": size }));
    Ok(())
}
