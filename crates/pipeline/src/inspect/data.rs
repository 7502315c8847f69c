//! `vqkit inspect IMAGES`: what a folder or archive of images holds, and whether it can be read.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::Serialize;
use vqkit_data::{
    BadFile, DataConfig, Encoding, OnError, PassedOver, Pixels, Sample, SourceConfig, View, default_workers, guess,
    read_ahead,
};
use vqkit_run::Interrupt;

use crate::error::Result;

/// Largest number of images that are decoded, evenly spread over all.
const LOOKED_AT: usize = 500;

/// The contents of a data source.
#[derive(Debug, Serialize)]
pub struct DataPlan {
    /// Number of images.
    pub images: usize,
    /// Number of classes; 0 where there are no labels.
    pub num_classes: u32,
    /// Names of the classes, where they have names.
    pub classes: Vec<String>,
    /// Whether any image has a caption.
    pub has_captions: bool,
    /// BLAKE3 over names, sizes and labels.
    pub fingerprint: String,
    /// Number of images that were decoded for the following, evenly spread over all.
    pub looked_at: usize,
    /// Number of images with a caption among them.
    pub captioned: usize,
    /// Number of images per class among them.
    pub of_class: BTreeMap<String, usize>,
    /// Number of images per format among them.
    pub of_encoding: BTreeMap<String, usize>,
    /// Number of grey images among them.
    pub gray: usize,
    /// The smallest, median and largest width and height among them, by area.
    pub sizes: Vec<[u32; 2]>,
    /// Mean of their values, 0 to 255.
    pub mean: f64,
    /// Files and entries that are no samples, by kind.
    pub passed_over: PassedOver,
    /// Items that were left out when the source was opened, and then the images that cannot be read of those that were
    /// looked at.
    pub bad: Vec<Bad>,
    /// The number of the former.
    pub rejected: usize,
}

/// An item that cannot be used.
#[derive(Debug, Serialize)]
pub struct Bad {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        if self.name.is_empty() { out.write_str(&self.reason) } else { write!(out, "{}: {}", self.name, self.reason) }
    }
}

impl From<&BadFile> for Bad {
    fn from(bad: &BadFile) -> Self {
        Self { name: bad.key.clone(), reason: bad.reason.clone() }
    }
}

impl DataPlan {
    /// Lists a folder of images, pairs, tar archives or a manifest, and decodes some.
    ///
    /// # Errors
    /// When there are no images, or the user interrupts.
    pub fn read(path: &Path, interrupt: &Interrupt) -> Result<Self> {
        Self::of_source(guess::source_at(path)?, interrupt)
    }

    /// As [`DataPlan::read`], of any source.
    ///
    /// # Errors
    /// As [`DataPlan::read`].
    pub fn of_source(source: SourceConfig, interrupt: &Interrupt) -> Result<Self> {
        let config = DataConfig { on_error: OnError::Skip, max_error_rate: 0.999, ..DataConfig::new(1, source) };
        let view = config.open()?.train;
        let mut plan = Self {
            images: view.len(),
            num_classes: view.num_classes(),
            classes: view.class_names().to_vec(),
            has_captions: view.has_captions(),
            fingerprint: view.fingerprint(),
            looked_at: 0,
            captioned: 0,
            of_class: BTreeMap::new(),
            of_encoding: BTreeMap::new(),
            gray: 0,
            sizes: Vec::new(),
            mean: 0.0,
            passed_over: view.passed_over().clone(),
            bad: view.rejected().iter().map(Bad::from).collect(),
            rejected: view.rejected().len(),
        };
        plan.look(&view, interrupt)?;
        Ok(plan)
    }

    /// Share of all images that cannot be used, as far as those that were looked at tell.
    pub fn bad_share(&self) -> f64 {
        let unreadable = (self.bad.len() - self.rejected) as f64;
        let of_images = unreadable / (self.looked_at as f64 + unreadable).max(1.0);
        (self.rejected as f64 + self.images as f64 * of_images) / ((self.images + self.rejected) as f64).max(1.0)
    }

    fn look(&mut self, view: &View, interrupt: &Interrupt) -> Result<()> {
        let (total, count) = (view.len(), view.len().min(LOOKED_AT));
        let source = view.clone();
        let read = move |index: usize| {
            let place = index * total / count.max(1);
            let encoding = source.encoded(place).ok().flatten().map(|bytes| Encoding::of(&bytes));
            source.hold(place).map(|sample| Looks::of(&sample, encoding))
        };
        let mut sizes = Vec::new();
        for looks in read_ahead(count, default_workers(), 16, read) {
            interrupt.check()?;
            match looks {
                Ok(looks) => {
                    sizes.push(looks.size);
                    self.add(looks, view.class_names());
                }
                Err(error) => self.bad.push(Bad { name: String::new(), reason: error.to_string() }),
            }
        }
        sizes.sort_by_key(|[width, height]| u64::from(*width) * u64::from(*height));
        let places = [0, sizes.len() / 2, sizes.len().saturating_sub(1)];
        self.sizes = places.into_iter().filter_map(|place| sizes.get(place).copied()).collect();
        self.looked_at = sizes.len();
        self.mean /= sizes.len().max(1) as f64;
        Ok(())
    }

    fn add(&mut self, looks: Looks, classes: &[String]) {
        if let Some(class) = looks.class {
            let name = classes.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
            *self.of_class.entry(name).or_default() += 1;
        }
        let encoding = looks.encoding.map_or_else(|| "generated, not read".into(), |encoding| encoding.to_string());
        *self.of_encoding.entry(encoding).or_default() += 1;
        self.captioned += usize::from(looks.is_captioned);
        self.gray += usize::from(looks.is_gray);
        self.mean += looks.mean;
    }
}

/// What is counted of an image after it was dropped.
struct Looks {
    size: [u32; 2],
    class: Option<u32>,
    encoding: Option<Encoding>,
    is_gray: bool,
    is_captioned: bool,
    /// Mean of its values.
    mean: f64,
}

impl Looks {
    fn of(sample: &Sample, encoding: Option<Encoding>) -> Self {
        let values = sample.image.to_rgb8();
        Self {
            size: [sample.image.width(), sample.image.height()],
            class: sample.class,
            encoding,
            is_captioned: sample.caption.is_some(),
            is_gray: !matches!(sample.image.pixels(), Pixels::Rgb8(_)),
            mean: values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64,
        }
    }
}

impl fmt::Display for DataPlan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let captions = if self.has_captions { "with captions" } else { "without captions" };
        writeln!(
            out,
            "{} images, {} classes, {captions}, fingerprint {}",
            self.images, self.num_classes, self.fingerprint
        )?;
        let counts = |of: &BTreeMap<String, usize>| {
            of.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(out, "of {} decoded:", self.looked_at)?;
        if let [smallest, middle, largest] = self.sizes[..] {
            let [smallest, middle, largest] =
                [smallest, middle, largest].map(|[width, height]| format!("{width}x{height}"));
            writeln!(out, "    sizes {smallest} to {largest}, median {middle}")?;
        }
        writeln!(
            out,
            "    formats: {}; {} in grey; mean value {:.1}",
            counts(&self.of_encoding),
            self.gray,
            self.mean
        )?;
        if !self.of_class.is_empty() {
            writeln!(out, "    of each class: {}", counts(&self.of_class))?;
        }
        if !self.passed_over.is_empty() {
            writeln!(out, "passed over: {}", self.passed_over)?;
        }
        writeln!(out, "{} items cannot be used", self.bad.len())?;
        self.bad.iter().take(20).try_for_each(|bad| writeln!(out, "    {bad}"))
    }
}
