//! Writes a VQGAN of the published size (taming-transformers, `imagenet_vqgan.yaml`) with random weights as TorchScript and ONNX,
//! with images and what vqkit makes of them, and prints how long vqkit takes. `tests/compare.py` computes the same with the files:
//!
//! ```text
//! cargo run --release -p vqkit-graph --example published_size FOLDER
//! python crates/graph/tests/compare.py --time FOLDER                   # onnxruntime
//! python crates/graph/tests/compare.py --time --torchscript FOLDER     # torch
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use tch::{Device, Kind, Tensor, nn};
use vqkit_graph::TokenizerGraph;
use vqkit_quantizer::{QuantizerConfig, VectorQuantizerConfig};
use vqkit_torch::weights;
use vqkit_vqvae::{TokenizerConfig, VqganConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("name the folder to write")?);
    std::fs::create_dir_all(&folder)?;
    tch::manual_seed(1);
    let _guard = tch::no_grad_guard();
    let vs = nn::VarStore::new(Device::Cpu);
    let config = TokenizerConfig::Vqgan(VqganConfig::imagenet_f16());
    let quantizer = QuantizerConfig::Vq(VectorQuantizerConfig::new(1024));
    let mut tokenizer = config.build(&vs.root(), 3, &quantizer)?;
    let draw = |batch: i64| Tensor::rand([batch, 3, 256, 256], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    // Codes that latents are near to.
    tokenizer.initialize(&draw(8))?;

    let begin = Instant::now();
    let graph = TokenizerGraph::new(&config, &quantizer, 3, &weights::tensors(&vs))?;
    let properties = BTreeMap::from([("image_size".to_owned(), "256".to_owned())]);
    graph.save_torchscript(&folder.join("tokenizer.pt"), &properties)?;
    graph.save_onnx(&folder, &properties)?;
    println!("written in {:.1} s", begin.elapsed().as_secs_f64());
    for file in ["tokenizer.pt", "encode.onnx", "decode.onnx"] {
        println!("{file}: {:.1} MB", std::fs::metadata(folder.join(file))?.len() as f64 / 1e6);
    }

    let images = draw(1);
    let tokens = tokenizer.tokens(&images)?;
    images.write_npy(folder.join("0.images.npy"))?;
    tokens[0].indices.write_npy(folder.join("0.indices.0.npy"))?;
    tokenizer.decode(&tokens)?.write_npy(folder.join("0.decoded.npy"))?;
    let encode = milliseconds(|| tokenizer.tokens(&images).map(drop))?;
    let decode = milliseconds(|| tokenizer.decode(&tokens).map(drop))?;
    println!("encode {encode:.0} ms, decode {decode:.0} ms");
    Ok(())
}

/// The median time of seven calls, after three that are not counted.
fn milliseconds<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::new();
    for _ in 0..10 {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.drain(..3);
    times.sort_by(f64::total_cmp);
    Ok(times[3])
}
