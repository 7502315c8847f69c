//! Measuring one tokenizer on all images, batch by batch.

use std::{collections::HashSet, time::Instant};

use tch::{Cuda, Device, Kind, Tensor, nn::VarStore, no_grad};
use vqkit_data::{Batch, Loader, LoaderConfig, Order};
use vqkit_losses::Lpips;
use vqkit_metrics::PixelError;
use vqkit_models::{grids, load};
use vqkit_recipe::{InvalidRequest, Modality};
use vqkit_run::{Context, RgbImage};
use vqkit_tokens::TokenUsage;
use vqkit_torch::{Tokens, attempt};
use vqkit_vqvae::Tokenizer;

use crate::{
    error::{EvaluateError, Result},
    similarity::Compared,
    tokenizers::{
        measures::{BitsPerPixel, LevelMeasures, Milliseconds, Parameters, ShownImage, TokenizerMeasures, finite},
        request::TokenizerRequest,
        set_distance::{FeaturePair, SetComparer},
        subject::Subject,
    },
};

/// Measures a tokenizer, which is in memory only for that long.
///
/// # Errors
/// When its weights or an image cannot be read, the device's memory does not suffice, or the user interrupts.
pub fn measure(
    subject: &Subject,
    request: &TokenizerRequest,
    sets: &mut Option<SetComparer>,
    lpips: Option<&Lpips>,
    context: &Context,
) -> Result<TokenizerMeasures> {
    let recipe = &subject.recipe;
    let (vs, tokenizer) = load::tokenizer_and_variables(&subject.run, Modality::Image, context)?;
    let codec = Codec { tokenizer: &tokenizer, kind: context.kind(recipe.head.precision), context };
    let mut gathered = Gathered::new(subject, &tokenizer, request, sets.as_ref(), lpips, context)?;
    let batch_size = request.batch_size.min(subject.view.len());
    let config = LoaderConfig { batch_size, order: Order::Sequential, ..LoaderConfig::default() };
    let mut loader = Loader::new(&subject.view, config)?;
    let task = format!("compare {}", subject.name);
    let progress = context.progress(&task, "images", subject.view.len() as u64);
    let mut clock = Clock::default();
    for _ in 0..subject.view.len().div_ceil(batch_size) {
        context.interrupt.check()?;
        let Some(batch) = loader.next().transpose()? else { break };
        let images = context.images(&batch)?;
        if clock.batches.is_empty() {
            // The first call takes longer than others: the device reserves memory and chooses algorithms.
            let _ = codec.decode(&codec.encode(&images)?, &images)?;
        }
        let reconstructions = clock.time(&codec, &images, |tokens| gathered.count(tokens))?;
        gathered.add(&batch, &reconstructions, &images, sets.as_ref())?;
        progress.advance(batch.keys.len() as u64);
    }
    progress.finish(&format!("{} images", gathered.images));
    if gathered.images == 0 {
        return Err(InvalidRequest::option("data", "none of the images can be read").into());
    }
    let milliseconds = clock.finish();
    gathered.finish(subject, &tokenizer, &vs, milliseconds, sets, context)
}

/// A tokenizer in its number format.
struct Codec<'a> {
    tokenizer: &'a Tokenizer,
    kind: Kind,
    context: &'a Context,
}

impl Codec<'_> {
    fn encode(&self, images: &Tensor) -> Result<Tokens> {
        Ok(grids::grids(self.tokenizer, images, self.kind, self.context)?)
    }

    /// The images that the tokens of `images` decode to.
    fn decode(&self, tokens: &Tokens, images: &Tensor) -> Result<Tensor> {
        let what = format!("the reconstructions of images of shape {:?}", images.size());
        attempt(what, || {
            let decoded = no_grad(|| self.context.autocast(self.kind, || self.tokenizer.decode(tokens)))?;
            Ok::<_, EvaluateError>(decoded)
        })
    }
}

/// The times of all batches.
#[derive(Debug, Default)]
struct Clock {
    batches: Vec<Timed>,
}

/// The seconds of a batch.
#[derive(Debug, Clone, Copy)]
struct Timed {
    images: usize,
    encode: f64,
    decode: f64,
}

impl Clock {
    /// Encodes and decodes a batch, and notes how long both took.
    fn time(
        &mut self,
        codec: &Codec,
        images: &Tensor,
        mut with_tokens: impl FnMut(&Tokens) -> Result<()>,
    ) -> Result<Tensor> {
        let device = codec.context.device;
        let (tokens, encode) = seconds(device, || codec.encode(images))?;
        let (reconstructions, decode) = seconds(device, || codec.decode(&tokens, images))?;
        with_tokens(&tokens)?;
        self.batches.push(Timed { images: images.size()[0] as usize, encode, decode });
        Ok(reconstructions)
    }

    /// The medians over the batches that are full: a smaller one takes more time per image.
    fn finish(&self) -> Milliseconds {
        let batch_size = self.batches.iter().map(|batch| batch.images).max().unwrap_or(0);
        let full: Vec<Timed> = self.batches.iter().filter(|batch| batch.images == batch_size).copied().collect();
        let of_image =
            |part: fn(&Timed) -> f64| 1e3 * median(full.iter().map(part).collect()) / batch_size.max(1) as f64;
        Milliseconds {
            encode: of_image(|batch| batch.encode),
            decode: of_image(|batch| batch.decode),
            batches: full.len(),
            batch_size,
        }
    }
}

/// The result of `work`, and how many seconds the device took for it.
fn seconds<T>(device: Device, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    wait_for(device);
    let began = Instant::now();
    let result = work()?;
    wait_for(device);
    Ok((result, began.elapsed().as_secs_f64()))
}

/// Waits until the device did all that it was asked for.
fn wait_for(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.get(values.len() / 2), values.len() % 2) {
        (None, _) => f64::NAN,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => f64::midpoint(values[values.len() / 2 - 1], *upper),
    }
}

/// The sums over all images.
struct Gathered<'l> {
    images: usize,
    psnr_db: f64,
    error: PixelError,
    similarity: Compared<'l>,
    usage: TokenUsage,
    features: Option<FeaturePair>,
    wanted: HashSet<String>,
    shown: Vec<ShownImage>,
}

impl<'l> Gathered<'l> {
    fn new(
        subject: &Subject,
        tokenizer: &Tokenizer,
        request: &TokenizerRequest,
        sets: Option<&SetComparer>,
        lpips: Option<&'l Lpips>,
        context: &Context,
    ) -> Result<Self> {
        let shape = Modality::Image.input_spec(&subject.recipe.data);
        let features = match sets {
            Some(sets) if sets.takes(shape) => Some(sets.begin(&subject.reading(), subject.view.len())),
            _ => None,
        };
        let key = |index: usize| subject.view.key(index).map(str::to_owned);
        Ok(Self {
            images: 0,
            psnr_db: 0.0,
            error: PixelError::default(),
            similarity: Compared::new(shape, lpips),
            usage: TokenUsage::new(&tokenizer.codebook_sizes(), context.device),
            features,
            wanted: spread(subject.view.len(), request.shown).filter_map(key).collect(),
            shown: Vec::new(),
        })
    }

    /// Counts the tokens of a batch.
    fn count(&mut self, tokens: &Tokens) -> Result<()> {
        Ok(self.usage.add(tokens)?)
    }

    /// Adds a batch of images and their reconstructions.
    fn add(
        &mut self,
        batch: &Batch,
        reconstructions: &Tensor,
        images: &Tensor,
        sets: Option<&SetComparer>,
    ) -> Result<()> {
        let psnr_db = Vec::<f64>::try_from(PixelError::psnr_db_of_each(reconstructions, images))?;
        self.images += psnr_db.len();
        self.psnr_db += psnr_db.iter().sum::<f64>();
        self.error.add(reconstructions, images);
        self.similarity.add(reconstructions, images)?;
        if let (Some(sets), Some(features)) = (sets, &mut self.features) {
            sets.add(features, reconstructions, images)?;
        }
        for (index, (key, psnr_db)) in batch.keys.iter().zip(psnr_db).enumerate() {
            if self.wanted.remove(key) {
                let [original, reconstruction] = [images, reconstructions].map(|images| of_batch(images, index));
                let (key, psnr_db) = (key.clone(), finite(psnr_db));
                self.shown.push(ShownImage { key, psnr_db, original, reconstruction });
            }
        }
        Ok(())
    }

    fn finish(
        self,
        subject: &Subject,
        tokenizer: &Tokenizer,
        vs: &VarStore,
        milliseconds: Milliseconds,
        sets: &mut Option<SetComparer>,
        context: &Context,
    ) -> Result<TokenizerMeasures> {
        let recipe = &subject.recipe;
        let size = recipe.data.image_size;
        let config = recipe.tokenizer(Modality::Image)?;
        let grids = tokenizer.grid_shapes(size.into())?.into_iter();
        let levels: Vec<_> =
            grids.zip(self.usage.levels()).map(|(grid, usage)| LevelMeasures::of(grid, usage)).collect();
        let set_distance = match (sets, &self.features) {
            (Some(sets), Some(features)) => sets.finish(features, &subject.reading())?,
            _ => None,
        };
        Ok(TokenizerMeasures {
            name: subject.name.clone(),
            run: subject.run.path().to_owned(),
            fingerprint: subject.run.require(Modality::Image.stage())?.fingerprint.clone(),
            network: config.network.type_name(),
            quantizer: config.quantizer.type_name(),
            preparation: subject.preparation(),
            precision: if context.kind(recipe.head.precision) == Kind::Float { "fp32" } else { "bf16" },
            images: self.images,
            skipped: subject.view.len() + subject.view.rejected().len() - self.images,
            downsampling: tokenizer.downsampling(),
            tokens: levels.iter().map(LevelMeasures::tokens).sum(),
            parameters: Parameters::of(tokenizer, vs),
            psnr_db: finite(self.psnr_db / self.images as f64),
            psnr_of_mean_error_db: finite(self.error.psnr_db()),
            similarity: self.similarity.finish(),
            set_distance,
            bits_per_pixel: BitsPerPixel::of(&levels, f64::from(size).powi(2)),
            levels,
            milliseconds,
            shown: self.shown,
        })
    }
}

/// One image of a batch.
fn of_batch(images: &Tensor, index: usize) -> RgbImage {
    // A batch of one gives one image.
    RgbImage::from_batch(&images.narrow(0, index as i64, 1)).swap_remove(0)
}

/// `count` places, evenly spread over `len`; all of them where there are fewer.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(len);
    (0..count).map(move |number| (2 * number + 1) * len / (2 * count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_images_are_evenly_spread() {
        assert!(spread(100, 4).eq([12, 37, 62, 87]));
        assert!(spread(3, 8).eq([0, 1, 2]));
        assert!(spread(5, 1).eq([2]));
        assert_eq!(spread(5, 0).count(), 0);
    }

    #[test]
    fn times_are_medians_over_full_batches() {
        let timed = |images, encode, decode| Timed { images, encode, decode };
        let clock = Clock {
            batches: vec![
                timed(4, 0.4, 0.8),
                timed(4, 4.0, 0.8),
                timed(4, 0.8, 8.0),
                timed(4, 0.6, 1.0),
                timed(1, 9.0, 9.0),
            ],
        };
        let Milliseconds { encode, decode, batches, batch_size } = clock.finish();
        assert_eq!((batches, batch_size), (4, 4));
        assert!((encode - 175.0).abs() < 1e-9 && (decode - 225.0).abs() < 1e-9, "{encode} {decode}");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
