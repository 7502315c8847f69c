//! Class accuracy: how many samples of a class a classifier, which no loss uses, assigns to it.

use serde::Serialize;
use tch::{Device, Tensor};
use vqkit_data::PictureReader;
use vqkit_models::EvaluationClassifier;
use vqkit_run::RgbImage;
use vqkit_sample::SampleFile;

use crate::error::Result;

/// Images classified at a time.
const BATCH: usize = 100;

/// How many samples a classifier assigns to the class that they were generated for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Samples classified.
    pub samples: usize,
    /// Those that it assigns to the class that they were generated for.
    pub right: usize,
}

impl ClassAccuracy {
    /// Classifies images that were generated for a class; `None` where there are none, or the classifier does not know
    /// a class.
    ///
    /// # Errors
    /// When an image cannot be read, or is too small for the classifier.
    pub fn of(pictures: &[SampleFile], classifier: &EvaluationClassifier, device: Device) -> Result<Option<Self>> {
        let EvaluationClassifier { network, classes: known, .. } = classifier;
        let number = |drawn: &SampleFile| known.iter().position(|name| Some(name) == drawn.class.as_ref());
        let Some(classes) = pictures.iter().map(number).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let reader = PictureReader::default();
        let mut right = 0;
        for (pictures, classes) in pictures.chunks(BATCH).zip(classes.chunks(BATCH)) {
            let images = pictures.iter().map(|drawn| Ok(RgbImage::read(&drawn.path, &reader)?.to_tensor()));
            let images = Tensor::f_cat(&images.collect::<Result<Vec<_>>>()?, 0)?.to_device(device);
            let said = Vec::<i64>::try_from(network.classify(&network.pooled(&images)?).argmax(-1, false))?;
            right += said.iter().zip(classes).filter(|(said, class)| **said == **class as i64).count();
        }
        Ok((!pictures.is_empty()).then_some(Self { samples: pictures.len(), right }))
    }

    /// The share of right ones, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.samples as f64
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn samples_are_right_whose_class_the_classifier_names() {
        tch::manual_seed(3);
        let folder = tempfile::tempdir().unwrap();
        let images = Tensor::rand([6, 3, 8, 8], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let classifier = EvaluationClassifier::shipped(Device::Cpu).unwrap();
        let EvaluationClassifier { network, classes: known, .. } = &classifier;
        let draw = |(index, picture): (usize, RgbImage)| {
            let path = folder.path().join(format!("{index}.png"));
            picture.write(&path).unwrap();
            let read = RgbImage::read(&path, &PictureReader::default()).unwrap().to_tensor();
            let said = network.classify(&network.pooled(&read).unwrap()).argmax(-1, false).int64_value(&[0]) as usize;
            let class = known[if index < 4 { said } else { (said + 1) % known.len() }].clone();
            SampleFile { path, class: Some(class) }
        };
        let pictures: Vec<_> = RgbImage::from_batch(&images).into_iter().enumerate().map(draw).collect();
        let of = |pictures: &[SampleFile]| ClassAccuracy::of(pictures, &classifier, Device::Cpu).unwrap();
        assert_eq!(of(&pictures), Some(ClassAccuracy { samples: 6, right: 4 }));
        assert_eq!(of(&[]), None);
        for class in [Some("circle".into()), None] {
            let other = SampleFile { class, ..pictures[0].clone() };
            assert_eq!(of(&[other]), None);
        }
    }
}
