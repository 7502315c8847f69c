//! Images per second of the loader: drawing shapes, and decoding and resizing JPEGs from an archive.

use std::{hint::black_box, io, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use vqkit_data::{DataConfig, Loader, LoaderConfig, shapes::Scene};

const BATCH: usize = 64;

fn data(recipe: &str) -> DataConfig {
    toml::from_str(recipe).expect("the recipe of a bench is right")
}

/// An archive of shapes as JPEGs of 128 pixels.
fn archive(path: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(std::fs::File::create(path)?);
    for index in 0..512 {
        let rendered = Scene::new(1, index, 3).render(128).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        let image = image::RgbImage::from_raw(128, 128, rendered.image.to_rgb8()).ok_or(io::ErrorKind::InvalidData)?;
        image.write_with_encoder(encoder).map_err(io::Error::other)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, format!("{index:04}.jpg"), bytes.as_slice())?;
    }
    tar.finish()
}

fn stream(c: &mut Criterion, name: &str, config: &DataConfig, workers: usize) {
    let data = config.open().expect("the data of a bench opens");
    let loader = LoaderConfig { batch_size: BATCH, workers: Some(workers), ..LoaderConfig::default() };
    let mut loader = Loader::new(&data.train, loader).expect("the loader of a bench starts");
    let mut group = c.benchmark_group("loader");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(format!("{name}/{workers}"), |b| b.iter(|| black_box(loader.next())));
}

fn loader(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the archive");
    archive(&folder.path().join("a.tar")).expect("the archive is written");
    let shapes = data("image_size = 64\nsource = { type = 'shapes', count = 4096 }");
    let tar = format!("image_size = 64\nroot = {:?}\nsource = {{ type = 'tar', train = 'a.tar' }}", folder.path());
    for workers in [1, 2] {
        stream(c, "shapes-64", &shapes, workers);
        stream(c, "jpeg-128-to-64", &data(&tar), workers);
    }
}

criterion_group!(benches, loader);
criterion_main!(benches);
