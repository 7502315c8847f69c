//! Opening `[data]`: the samples to train on and those for validation.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
    sync::Arc,
};

use crate::{
    BadFile, DataConfig, DataError, Held, OnError, PassedOver, Permutation, PictureReader, Sample, Source, SourceInfo,
    TemplateConfig, TemplateKind, TemplateReader, Transform,
    sources::{Opening, by_name},
};

/// The key of the split: a constant, so that the same samples are for validation whatever the seed of a run.
const SPLIT: u64 = 0x5eed_0f5b_117a_11ed;

/// Classes that a message lists.
const LISTED: usize = 100;

/// The two parts of a data set.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Samples to train on.
    pub train: View,
    /// Samples for validation; possibly none.
    pub validation: View,
}

/// Some samples of a source, and how they become what a model sees.
#[derive(Clone)]
pub struct View {
    source: Arc<dyn Source>,
    split: Option<Permutation>,
    range: Range<usize>,
    reading: Arc<Reading>,
}

impl fmt::Debug for View {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "View of {} samples", self.len())
    }
}

/// What of `[data]` concerns reading samples.
pub(crate) struct Reading {
    pub transform: Transform,
    pub on_error: OnError,
    pub max_error_rate: f64,
    pub workers: Option<usize>,
    pub prefetch: usize,
    pub templates: Option<TemplateReader>,
    reader: PictureReader,
    class_names: Vec<String>,
    by_name: HashMap<String, u32>,
    num_classes: u32,
}

impl DataConfig {
    /// Opens the source: lists its samples, and decodes none.
    ///
    /// # Errors
    /// [`DataError::Config`] as [`DataConfig::validate`]; [`DataError::Io`] or [`DataError::Source`] where files are missing or
    /// broken as a whole; [`DataError::Bad`] or [`DataError::TooManyErrors`] for single ones, as `on_error` says.
    pub fn open(&self) -> Result<Dataset, DataError> {
        self.validate()?;
        let mut opening = Opening {
            root: self.root(),
            class_names: self.class_names.clone(),
            reader: self.reader(),
            image_size: self.image_size,
            require_class: self.require_class,
            require_caption: self.require_caption,
            require_template: self.require_template,
            on_error: self.on_error,
            max_error_rate: self.max_error_rate,
        };
        let member = self.source.member();
        let train = member.train(&opening)?;
        let names = &train.info().class_names;
        if !names.is_empty() {
            opening.class_names = Some(names.clone());
        }
        let validation = member.validation(&opening)?;
        if validation.is_some() && self.validation.is_some() {
            return Err(DataError::config(
                "validation",
                "the source has validation samples of its own; give one of the two",
            ));
        }
        self.dataset(train, validation, opening.reader)
    }

    fn dataset(
        &self,
        train: Arc<dyn Source>,
        validation: Option<Arc<dyn Source>>,
        reader: PictureReader,
    ) -> Result<Dataset, DataError> {
        let other = validation.as_ref().map_or(0, |source| source.info().num_classes);
        let reading = Arc::new(Reading {
            transform: Transform::new(self),
            on_error: self.on_error,
            max_error_rate: self.max_error_rate,
            workers: self.workers,
            prefetch: self.prefetch,
            templates: TemplateReader::new(self),
            reader,
            class_names: train.info().class_names.clone(),
            by_name: by_name(&train.info().class_names),
            num_classes: train.info().num_classes.max(other),
        });
        let view = |source: &Arc<dyn Source>, split: Option<Permutation>, range: Range<usize>| View {
            source: Arc::clone(source),
            split,
            range,
            reading: Arc::clone(&reading),
        };
        if matches!(self.template, Some(TemplateConfig::Given(_))) && train.info().template.is_none() {
            let reason = "the source has no templates; take edges, downsampled or gray, which are derived";
            return Err(DataError::config("template.type", reason));
        }
        let len = train.len();
        Ok(match (validation, self.validation) {
            (Some(other), _) => {
                Dataset { train: view(&train, None, 0..len), validation: view(&other, None, 0..other.len()) }
            }
            (None, None) => Dataset { train: view(&train, None, 0..len), validation: view(&train, None, 0..0) },
            (None, Some(share)) => {
                let count = validation_count(len, share)?;
                let split = Permutation::new(len as u64, SPLIT);
                Dataset {
                    train: view(&train, Some(split.clone()), count..len),
                    validation: view(&train, Some(split), 0..count),
                }
            }
        })
    }
}

fn validation_count(len: usize, share: f64) -> Result<usize, DataError> {
    let count = ((len as f64 * share).round() as usize).max(1);
    match count < len {
        true => Ok(count),
        false => Err(DataError::config("validation", format!("{share} of {len} samples leaves none to train on"))),
    }
}

impl Dataset {
    /// The class that `asked` means: a name, or a number.
    ///
    /// # Errors
    /// [`DataError::Class`], which lists the classes that there are.
    pub fn class_index(&self, asked: &str) -> Result<u32, DataError> {
        let (names, count) = (self.train.class_names(), self.train.num_classes());
        if let Some(class) = self.train.reading.by_name.get(asked) {
            return Ok(*class);
        }
        if let Some(class) = asked.parse().ok().filter(|class| *class < count) {
            return Ok(class);
        }
        let known = match (names, count) {
            (_, 0) => "this data set has no classes".to_owned(),
            ([], _) => format!("the classes are 0 to {}", count - 1),
            (names, _) => {
                let more = if names.len() > LISTED { ", ..." } else { "" };
                let some = names[..names.len().min(LISTED)].join(", ");
                format!("the classes are {some}{more}, or their numbers 0 to {}", count - 1)
            }
        };
        Err(DataError::Class { asked: asked.to_owned(), known })
    }
}

impl View {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Its first `count` samples, or all where there are fewer.
    pub fn first(&self, count: usize) -> Self {
        let end = self.range.end.min(self.range.start.saturating_add(count));
        Self { range: self.range.start..end, ..self.clone() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The sample at `index`, decoded, at its own size.
    ///
    /// # Errors
    /// [`DataError::Bad`] where this one sample cannot be used.
    ///
    /// # Panics
    /// Where `index` is not below [`View::len`], as indexing does.
    pub fn get(&self, index: usize) -> Result<Sample, DataError> {
        Ok(self.hold(index)?.into_inner())
    }

    /// As [`View::get`], while memory is set aside for the sample, of that which all threads share
    /// (`max_decoded_mb` of [`DataConfig`]): for threads that decode, and drop what they have decoded.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Panics
    /// As [`View::get`].
    pub fn hold(&self, index: usize) -> Result<Held<Sample>, DataError> {
        self.source.hold(self.place(index))
    }

    /// What reads the pictures, with the bounds that are shared.
    pub fn reader(&self) -> &PictureReader {
        &self.reading.reader
    }

    /// The image file of the sample at `index` as it lies there; `None` where images are made and not read.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Panics
    /// As [`View::get`].
    pub fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        self.source.encoded(self.place(index))
    }

    /// The name of the sample at `index` within the source, where it is known without reading it.
    ///
    /// # Panics
    /// As [`View::get`].
    pub fn key(&self, index: usize) -> Option<&str> {
        self.source.key(self.place(index))
    }

    fn place(&self, index: usize) -> usize {
        assert!(index < self.len(), "sample {index} of {}", self.len());
        let place = self.range.start + index;
        self.split.as_ref().map_or(place, |split| split.at(place as u64) as usize)
    }

    /// The names of the classes, where they have names; the position is the class.
    pub fn class_names(&self) -> &[String] {
        &self.reading.class_names
    }

    /// The number of classes, the same for both parts of a data set; 0 where there are no labels.
    pub fn num_classes(&self) -> u32 {
        self.reading.num_classes
    }

    /// How many of these samples each class has; classes without a sample are left out. No file is read.
    pub fn class_counts(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for class in (0..self.len()).filter_map(|index| self.source.class(self.place(index))) {
            *counts.entry(class).or_default() += 1;
        }
        counts
    }

    /// Whether any sample of the source has a caption.
    pub fn has_captions(&self) -> bool {
        self.info().has_captions
    }

    /// The caption of the sample at `index`, without its image where that can be avoided.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Panics
    /// As [`View::get`].
    pub fn caption(&self, index: usize) -> Result<Option<String>, DataError> {
        self.source.caption(self.place(index))
    }

    /// Whether the samples have templates.
    pub fn has_templates(&self) -> bool {
        self.template_kind().is_some()
    }

    /// What the templates are, where there are any.
    pub fn template_kind(&self) -> Option<&TemplateKind> {
        self.templates().map(TemplateReader::kind)
    }

    /// How templates become what a model sees, where there are any.
    pub fn templates(&self) -> Option<&TemplateReader> {
        self.reading.templates.as_ref()
    }

    /// Items of the source that were left out when it was opened, under `on_error = "skip"`.
    pub fn rejected(&self) -> &[BadFile] {
        &self.info().rejected
    }

    /// What of the source is no sample and was passed over when it was opened.
    pub fn passed_over(&self) -> &PassedOver {
        &self.info().passed_over
    }

    /// How samples become what a model sees.
    pub fn transform(&self) -> &Transform {
        &self.reading.transform
    }

    /// BLAKE3, in hexadecimal, over the names, sizes and labels of the samples and which of them these are. It changes with
    /// the data, not with the folder that it lies in.
    pub fn fingerprint(&self) -> String {
        let split = self.split.is_some();
        let meaning = format!("{} {:?} {split}", self.info().fingerprint, self.range);
        blake3::hash(meaning.as_bytes()).to_hex().to_string()
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    fn info(&self) -> &SourceInfo {
        self.source.info()
    }
}
