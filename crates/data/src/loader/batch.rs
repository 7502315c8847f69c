//! Putting samples together.

use std::ops::Range;

use super::order::{Plan, Slot};
use crate::{
    BadFile, CropRegion, DataError, OnError, Order, Sample, TemplateKind, View,
    random::Random,
    transform::{Cut, Workspace},
};

/// Samples tried in place of a bad one.
const REPLACEMENTS: u64 = 100;

/// Some samples, ready for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The images, `[B, C, H, W]` in [-1, 1].
    pub images: Vec<f32>,
    /// The shape of `images`.
    pub shape: [usize; 4],
    /// The class of each, -1 where it has none.
    pub classes: Vec<i64>,
    /// The caption of each.
    pub captions: Vec<Option<String>>,
    /// The templates, where the source has them.
    pub templates: Option<Templates>,
    /// The name of each within its source.
    pub keys: Vec<String>,
    /// The part of the whole picture that each shows.
    pub regions: Vec<CropRegion>,
    /// Samples consumed after this batch, by all ranks: the `start` that goes on from here.
    pub position: u64,
}

/// The templates of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Templates {
    /// What they are.
    pub kind: TemplateKind,
    /// `[B, C', S, S]`: labels as whole numbers from 0, other kinds in [-1, 1].
    pub values: Vec<f32>,
    /// The shape of `values`.
    pub shape: [usize; 4],
}

impl Batch {
    /// The batch in `count` parts of one size, the last of which may be smaller; all have its `position`.
    pub fn split(&self, count: usize) -> Vec<Self> {
        let each = self.keys.len().div_ceil(count.max(1)).max(1);
        let ranges = (0..self.keys.len()).step_by(each).map(|first| first..(first + each).min(self.keys.len()));
        ranges.map(|range| self.rows(range)).collect()
    }

    fn rows(&self, range: Range<usize>) -> Self {
        let values = |values: &[f32], shape: [usize; 4]| {
            let row: usize = shape[1..].iter().product();
            (values[range.start * row..range.end * row].to_vec(), [range.len(), shape[1], shape[2], shape[3]])
        };
        let (images, shape) = values(&self.images, self.shape);
        let templates = self.templates.as_ref().map(|templates| {
            let (values, shape) = values(&templates.values, templates.shape);
            Templates { kind: templates.kind.clone(), values, shape }
        });
        Self {
            images,
            shape,
            classes: self.classes[range.clone()].to_vec(),
            captions: self.captions[range.clone()].to_vec(),
            templates,
            keys: self.keys[range.clone()].to_vec(),
            regions: self.regions[range].to_vec(),
            position: self.position,
        }
    }
}

/// A batch, and what was bad on the way to it, by index.
#[derive(Debug)]
pub(super) struct Built {
    pub batch: Batch,
    pub bad: Vec<(usize, BadFile)>,
}

/// What a thread needs to build batches.
pub(super) struct Builder {
    pub view: View,
    pub plan: Plan,
    pub order: Order,
    pub seed: u64,
    pub augment: bool,
}

impl Builder {
    /// Batch number `number`; `None` after the last one.
    pub(super) fn build(&self, number: u64, workspace: &mut Workspace) -> Result<Option<Built>, DataError> {
        let slots = self.plan.slots(number);
        if slots.is_empty() {
            return Ok(None);
        }
        let mut built = Built { batch: self.empty(slots.len(), self.plan.consumed(number))?, bad: Vec::new() };
        for slot in slots {
            self.add(slot, &mut built, workspace)?;
        }
        Ok(Some(built))
    }

    fn empty(&self, len: usize, position: u64) -> Result<Batch, DataError> {
        let (transform, size) = (self.view.transform(), self.view.transform().size());
        let templates = self.view.templates().map(|reader| {
            let (kind, side) = (reader.kind().clone(), reader.size());
            let values = room([len, kind.channels(), side, side])?;
            Ok::<_, DataError>(Templates { values, shape: [0, kind.channels(), side, side], kind })
        });
        let templates = templates.transpose()?;
        Ok(Batch {
            images: room([len, transform.channels(), size, size])?,
            shape: [0, transform.channels(), size, size],
            classes: Vec::with_capacity(len),
            captions: Vec::with_capacity(len),
            templates,
            keys: Vec::with_capacity(len),
            regions: Vec::with_capacity(len),
            position,
        })
    }

    /// Adds the sample of `slot`, or, where it is bad and may be skipped, another: in a shuffled stream one that is drawn
    /// from seed, epoch and index alone, in a single pass none.
    fn add(&self, slot: Slot, built: &mut Built, workspace: &mut Workspace) -> Result<(), DataError> {
        let mut random = Random::keyed(&[self.seed, slot.epoch, slot.index as u64, 1]);
        let (mut index, mut last) = (slot.index, String::new());
        for _ in 0..REPLACEMENTS {
            let bad = match self.push(Slot { index, ..slot }, &mut built.batch, workspace) {
                Err(DataError::Bad(bad)) if self.view.reading().on_error == OnError::Skip => bad,
                done => return done,
            };
            last = format!("{}: {}", bad.key, bad.reason);
            built.bad.push((index, bad));
            if self.order == Order::Sequential {
                return Ok(());
            }
            index = random.below(self.view.len() as u64) as usize;
        }
        let reason = format!("{REPLACEMENTS} samples drawn in its place are bad as well; the last is {last}");
        Err(DataError::bad(format!("sample {}", slot.index), reason))
    }

    /// Decodes and appends one sample; a bad one leaves the batch as it was.
    fn push(&self, slot: Slot, batch: &mut Batch, workspace: &mut Workspace) -> Result<(), DataError> {
        let sample = self.view.hold(slot.index)?;
        let transform = self.view.transform();
        let key = [self.seed, slot.epoch, slot.index as u64];
        let cut = if self.augment { transform.augmentation(&key) } else { Cut::CENTER };
        let len = batch.shape[0];
        let [_, channels, height, width] = batch.shape;
        let values = channels * height * width;
        let mut image = vec![0.0; values];
        transform.write_image(&sample.image, cut, workspace, &mut image)?;
        if let Some(templates) = &mut batch.templates {
            match self.view.templates().and_then(|reader| reader.of_image(&image)) {
                Some(template) => {
                    templates.values.extend(template);
                    templates.shape[0] += 1;
                }
                None => append_template(&self.view, &sample, cut, workspace, templates, len)?,
            }
        }
        batch.images.extend(image);
        batch.regions.push(transform.crop_region(&sample.image, cut));
        batch.shape[0] += 1;
        let sample = sample.into_inner();
        batch.classes.push(sample.class.map_or(-1, i64::from));
        batch.captions.push(sample.caption);
        batch.keys.push(sample.key);
        Ok(())
    }
}

/// Room for the values of this shape.
fn room(shape: [usize; 4]) -> Result<Vec<f32>, DataError> {
    let mut values = Vec::new();
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
    match count.map(|count| values.try_reserve_exact(count)) {
        Some(Ok(())) => Ok(values),
        _ => {
            let [len, channels, height, width] = shape;
            let bytes = shape.iter().fold(4.0, |bytes, side| bytes * *side as f64);
            Err(DataError::config(
                "batch_size",
                format!(
                    "there is no memory for a batch of {len} images of {channels} x {height} x {width}, which is {:.1} GB; make it \
                     smaller",
                    bytes / 1e9
                ),
            ))
        }
    }
}

fn append_template(
    view: &View,
    sample: &Sample,
    cut: Cut,
    workspace: &mut Workspace,
    templates: &mut Templates,
    len: usize,
) -> Result<(), DataError> {
    let Some(picture) = &sample.template else {
        return Err(DataError::bad(sample.key.as_str(), "has no template, but its source says that all have one"));
    };
    let values: usize = templates.shape[1..].iter().product();
    templates.values.resize((len + 1) * values, 0.0);
    let out = &mut templates.values[len * values..];
    let written = view.transform().write_template(&sample.key, picture, &templates.kind, cut, workspace, out);
    templates.shape[0] = len + usize::from(written.is_ok());
    templates.values.truncate(templates.shape[0] * values);
    written
}
