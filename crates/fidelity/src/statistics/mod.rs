//! Statistics of a set of images: moments of its features, and some of the features.

mod npz;

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_metrics::{Gaussian, InceptionScore, MetricsError, check_moments};
use vqkit_recipe::InvalidRequest;
use vqkit_run::{Context, RunError};
use vqkit_torch::weights;

use crate::{
    error::Result, extractor::Extractor, extractor::Features, image_set::Origin, image_set::PictureSet,
    protocol::Protocol, statistics::npz::Archive,
};

/// The entry of a file's metadata.
const HEADER: &str = "vqkit-statistics";
/// Largest number of features that are kept, evenly spread over the set, for neighbours and kernels.
pub const KEPT: usize = 10_000;
/// Splits for the Inception Score, as in its original implementation.
pub const SPLITS: i64 = 10;

/// A mean and a standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub std: f64,
}

/// Metadata of a file of statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The network.
    pub features: Features,
    /// BLAKE3 of its weights.
    pub weights: String,
    /// How images were prepared for the network.
    pub protocol: Protocol,
    /// The images.
    pub origin: Origin,
    /// The Inception Score, where the network has a classifier and there are enough images.
    #[serde(default, rename = "inception_score_permuted")]
    pub score: Option<Spread>,
}

/// Statistics of a set of images.
#[derive(Debug)]
pub struct Statistics {
    /// Where they come from; statistics of other programs do not say.
    pub header: Option<Header>,
    /// `[D]`, f64.
    pub mean: Tensor,
    /// `[D, D]`, f64.
    pub covariance: Tensor,
    /// `[N', D]`, f32: at most 10,000 features, evenly spread over the set.
    pub kept: Option<Tensor>,
    /// Number of images of the moments, where it is known.
    pub pictures: Option<usize>,
}

impl Statistics {
    /// Computes the statistics of a set, `batch_size` images at a time, in memory that does not grow with the set.
    ///
    /// # Errors
    /// When an image cannot be read, or the network cannot take it; [`InvalidRequest`] for a single image.
    pub fn gather(
        set: &PictureSet,
        extractor: &Extractor,
        protocol: Protocol,
        batch_size: usize,
        context: &Context,
    ) -> Result<Self> {
        if set.len() < 2 {
            let message = format!("{} holds one image; a set needs at least two", set.path().display());
            return Err(InvalidRequest::option("path", message).into());
        }
        let mut gathered = FeatureAccumulator::new(extractor.width(), set.len());
        let progress = context.progress("features", "images", set.len() as u64);
        let origin = set.for_each_batch(protocol, batch_size, |images| {
            if context.interrupt.is_set() {
                return Err(RunError::Interrupted.into());
            }
            gathered.add(extractor, &images.to_device(context.device))?;
            progress.advance(images.size()[0] as u64);
            progress.status(&extractor.kind().to_string());
            Ok(())
        })?;
        progress.finish(&format!("{} images of {}", origin.pictures, origin.path.display()));
        let (features, weights) = (extractor.kind(), extractor.weights().to_owned());
        let score = gathered.score();
        Ok(gathered.finish(Some(Header { features, weights, protocol, origin, score })))
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// When it cannot be read, is not such a file, or holds statistics that no images can have.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |reason: String| RunError::artifact(path, reason);
        let metadata = weights::metadata(path)?;
        let text = metadata.get(HEADER).ok_or_else(|| refuse("holds no statistics of images".into()))?;
        let header: Header = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        let mut tensors = weights::read(path)?;
        let mut take = |name: &str, kind: Kind| {
            let tensor = tensors.remove(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
            match tensor.kind() {
                found if found == kind => Ok(tensor),
                found => Err(refuse(format!("`{name}` must be {kind:?}, found {found:?}"))),
            }
        };
        let (mean, covariance) = (take("mean", Kind::Double)?, take("covariance", Kind::Double)?);
        let kept = take("features", Kind::Float)?;
        let pictures = Some(header.origin.pictures);
        Self { header: Some(header), mean, covariance, kept: Some(kept), pictures }.sound(path)
    }

    /// Reads the `.npz` that pytorch-fid saves: `mu` and `sigma`, without information on where they come from.
    ///
    /// # Errors
    /// When it cannot be read, is not such a file, or holds statistics that no images can have.
    pub fn read_npz(path: &Path) -> Result<Self> {
        let refuse = |reason: String| RunError::artifact(path, reason);
        let mut archive = Archive::open(path)?;
        let (mean, covariance) = (archive.array("mu")?, archive.array("sigma")?);
        if covariance.size() != [mean.size(), mean.size()].concat() {
            let (mu, sigma) = (mean.size(), covariance.size());
            return Err(refuse(format!("`mu` of shape {mu:?} does not fit `sigma` of shape {sigma:?}")).into());
        }
        Self { header: None, mean, covariance, kept: None, pictures: None }.sound(path)
    }

    /// The statistics unchanged, after checking that metrics can be computed from them: a file may hold anything.
    fn sound(self, path: &Path) -> Result<Self> {
        let refuse = |reason: String| RunError::artifact(path, reason);
        check_moments(&self.mean, &self.covariance).map_err(|error| match error {
            MetricsError::NotFinite(_) => refuse(format!("{error}: are these the statistics of a single image?")),
            error => refuse(error.to_string()),
        })?;
        let Some(kept) = &self.kept else { return Ok(self) };
        let (shape, width) = (kept.size(), self.mean.size()[0]);
        if shape.len() != 2 || shape[0] < 1 || shape[1] != width {
            return Err(refuse(format!("`features` must have shape [N, {width}], found {shape:?}")).into());
        }
        if !self.pictures.is_some_and(|pictures| pictures >= 2 && pictures as i64 >= shape[0]) {
            let reason = format!("its header claims {:?} images, but it holds {} features", self.pictures, shape[0]);
            return Err(refuse(reason).into());
        }
        match kept.isfinite().all().f_int64_value(&[])? {
            0 => Err(refuse("`features` hold numbers that are not finite".into()).into()),
            _ => Ok(self),
        }
    }

    /// Writes a file that other evaluations can use in place of these images.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let header = serde_json::to_string(&self.header);
        let header = header.map_err(|source| RunError::Json { path: path.to_owned(), source })?;
        let mut tensors = BTreeMap::from([
            ("mean".to_owned(), self.mean.shallow_clone()),
            ("covariance".to_owned(), self.covariance.shallow_clone()),
        ]);
        tensors.extend(self.kept.as_ref().map(|kept| ("features".to_owned(), kept.shallow_clone())));
        Ok(weights::save(path, &tensors, &BTreeMap::from([(HEADER.to_owned(), header)]))?)
    }
}

/// Accumulates the statistics of a known number of images.
#[derive(Debug)]
pub struct FeatureAccumulator {
    gaussian: Gaussian,
    score: Option<InceptionScore>,
    kept: Vec<Tensor>,
    total: usize,
}

impl FeatureAccumulator {
    /// An empty accumulator for `total` images, with features of this width.
    pub fn new(width: i64, total: usize) -> Self {
        let score = InceptionScore::new(total as i64, SPLITS).ok();
        Self { gaussian: Gaussian::new(width), score, kept: Vec::new(), total }
    }

    /// Adds images `[B, 3, H, W]` in `[-1, 1]`.
    ///
    /// # Errors
    /// When the network cannot take them.
    pub fn add(&mut self, extractor: &Extractor, images: &Tensor) -> Result<()> {
        let first = self.gaussian.count() as usize;
        let features = extractor.features(images)?;
        match (extractor.probabilities(&features), &mut self.score) {
            (Some(probabilities), Some(score)) => score.add(&probabilities),
            _ => self.score = None,
        }
        let features = features.to_device(Device::Cpu);
        let rows = (0..features.size()[0] as usize).filter(|row| self.keeps(first + row));
        let rows: Vec<i64> = rows.map(|row| row as i64).collect();
        self.kept.push(features.index_select(0, &Tensor::from_slice(&rows)));
        self.gaussian.add(&features);
        Ok(())
    }

    /// Whether the features of an image are among those that are kept.
    fn keeps(&self, index: usize) -> bool {
        let kept_before = |index: usize| index * KEPT / self.total;
        self.total <= KEPT || kept_before(index + 1) > kept_before(index)
    }

    /// Number of images added.
    pub fn count(&self) -> usize {
        self.gaussian.count() as usize
    }

    /// The Fréchet distance between the images added here and those added to `other`; `None` where there are too few
    /// for a covariance, or the features are not finite.
    pub fn frechet_distance(&self, other: &Self) -> Option<f64> {
        let are_enough = self.count().min(other.count()) > 1;
        are_enough.then(|| self.gaussian.frechet_distance(&other.gaussian).ok()).flatten()
    }

    /// The Inception Score of the images added; `None` where it is not finite.
    pub fn score(&self) -> Option<Spread> {
        let score = self.score.as_ref().map(|score| Spread { mean: score.mean(), std: score.std() });
        score.filter(|score| score.mean.is_finite() && score.std.is_finite())
    }

    /// The statistics.
    pub fn finish(&self, header: Option<Header>) -> Statistics {
        Statistics {
            header,
            mean: self.gaussian.mean(),
            covariance: self.gaussian.covariance(),
            kept: Some(Tensor::cat(&self.kept, 0)),
            pictures: Some(self.count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_lies_evenly_over_the_set() {
        let gathered = FeatureAccumulator::new(4, 3 * KEPT);
        let kept: Vec<usize> = (0..3 * KEPT).filter(|index| gathered.keeps(*index)).collect();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == 3));
        let few = FeatureAccumulator::new(4, 7);
        assert!((0..7).all(|index| few.keeps(index)));
    }
}
