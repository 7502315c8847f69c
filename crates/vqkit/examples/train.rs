//! Trains a VQ-VAE, and a GPT over its tokens, each in its own loop on a folder of images; then generates samples as
//! PNGs. `train FOLDER OUT STEPS`

use std::{env, error::Error, path::Path};

use vqkit::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, out, steps] = arguments.as_slice() else { return Err("train FOLDER OUT STEPS".into()) };
    let data = DataConfig::new(32, SourceConfig::at_path(Path::new(folder))?).open()?;
    let options = LoaderConfig { batch_size: 8, augment: true, ..LoaderConfig::default() };
    let to_images = |batch: Batch| Ok::<_, Box<dyn Error>>(images(&batch.images, batch.shape, Device::Cpu)?);
    let mut batches = Loader::new(&data.train, options)?.map(|batch| to_images(batch?));

    let vs = VarStore::new(Device::Cpu);
    let quantizer = QuantizerConfig::Ema(EmaVectorQuantizerConfig::new(64));
    let mut tokenizer = VqVaeConfig::new(32).build(&vs.root(), 3, &quantizer)?;
    let mut optimizer = Adam::over(&vs, 1e-3, AdamConfig::adamw((0.9, 0.99)))?;
    for (step, images) in batches.by_ref().take(steps.parse()?).enumerate() {
        let images = images?;
        if step == 0 {
            tokenizer.initialize(&images)?;
        }
        let output = tokenizer.forward(&images, Mode::Train { step: step as u64 })?;
        optimizer.backward_step(&(output.images.mse_loss(&images, Reduction::Mean) + output.quantizer_loss()))?;
        tokenizer.update(&output)?;
    }

    let vs = VarStore::new(Device::Cpu);
    let spec = PriorSpec::new(tokenizer.codebook_sizes()[0].clone(), tokenizer.grid_shapes(32)?[0]);
    let prior = Gpt2Config::new(2, 2, 32).build(&vs.root(), &spec)?;
    let mut optimizer = Adam::over(&vs, 1e-3, AdamConfig::adamw((0.9, 0.95)))?;
    for images in batches.take(steps.parse()?) {
        let tokens = tokenizer.tokens(&images?)?;
        optimizer.backward_step(&prior.loss(&tokens, &Condition::none(), true)?.total)?;
    }
    let drawn = prior.generate(&Condition::none(), &SampleOptions::new(16))?;
    Ok(RgbImage::grid(&RgbImage::from_batch(&tokenizer.decode(&drawn.tokens)?), 4).write(Path::new(out))?)
}
