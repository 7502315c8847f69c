//! Generates images of a class in memory, and prints their log-likelihoods.
//!
//! `generate RUN CLASS`

use std::{env, error::Error, path::Path};

use vqkit::{
    run::{Context, Run},
    sample::{Generator, Request},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [run, class] = arguments.as_slice() else { return Err("generate RUN CLASS".into()) };
    let run = Run::open(Path::new(run))?;
    let mut generator = Generator::open(&run, &Context::silent("auto")?)?;

    let mut images = generator.generate(&Request::of_class(class, 8), None)?;
    images.sort_by(|one, other| other.log_likelihood.total_cmp(&one.log_likelihood));
    for image in &images {
        let (width, height) = image.picture.size();
        println!("sample {}: {width} x {height} pixels, {:.2} nats", image.sample, image.log_likelihood);
    }
    Ok(())
}
