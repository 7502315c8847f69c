//! Distances between two folders of images: FID, KID, precision and recall.
//!
//! `fid REAL FAKE [inception | vgg-cifar10]`; the weights of Inception are downloaded once.

use std::{env, error::Error};

use vqkit::{
    fidelity::{Features, Request, compare},
    run::Context,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (real, fake, features) = match arguments.as_slice() {
        [real, fake] => (real, fake, Features::default()),
        [real, fake, features] => (real, fake, features.parse()?),
        _ => return Err("fid REAL FAKE [inception | vgg-cifar10]".into()),
    };
    let request = Request { features, ..Request::new(real, fake) };
    let compared = compare(&request, &Context::silent("auto")?)?;
    println!("{compared}");
    Ok(())
}
