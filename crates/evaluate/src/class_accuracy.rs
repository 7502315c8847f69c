//! Whether samples drawn for a class are taken for it by the judge, a classifier that no loss uses.

use serde::Serialize;
use tch::{Device, Tensor};
use vqkit_data::PictureReader;
use vqkit_models::perceptual;
use vqkit_run::Picture;
use vqkit_sample::SampleFile;

use crate::error::Result;

/// Pictures judged at a time.
const BATCH: usize = 100;

/// How many samples the judge takes for what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Samples judged.
    pub samples: usize,
    /// Those of them that the judge puts into the class for which they were drawn.
    pub right: usize,
}

impl ClassAccuracy {
    /// Looks at pictures that were drawn for a class; `None` where there are none, or the judge does not know a class.
    ///
    /// # Errors
    /// When a picture cannot be read, or is too small for the judge.
    pub fn of(pictures: &[SampleFile], device: Device) -> Result<Option<Self>> {
        let known = perceptual::judged_classes()?;
        let number = |drawn: &SampleFile| known.iter().position(|name| Some(name) == drawn.class.as_ref());
        let Some(classes) = pictures.iter().map(number).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let (judge, reader) = (perceptual::judge(device)?, PictureReader::default());
        let mut right = 0;
        for (pictures, classes) in pictures.chunks(BATCH).zip(classes.chunks(BATCH)) {
            let images = pictures.iter().map(|drawn| Ok(Picture::read(&drawn.path, &reader)?.to_tensor()));
            let images = Tensor::f_cat(&images.collect::<Result<Vec<_>>>()?, 0)?.to_device(device);
            let said = Vec::<i64>::try_from(judge.classify(&judge.pooled(&images)?).argmax(-1, false))?;
            right += said.iter().zip(classes).filter(|(said, class)| **said == **class as i64).count();
        }
        Ok((!pictures.is_empty()).then_some(Self { samples: pictures.len(), right }))
    }

    /// The share that is right, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.samples as f64
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn samples_are_right_whose_class_the_judge_names() {
        tch::manual_seed(3);
        let folder = tempfile::tempdir().unwrap();
        let images = Tensor::rand([6, 3, 8, 8], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let (judge, known) = (perceptual::judge(Device::Cpu).unwrap(), perceptual::judged_classes().unwrap());
        let draw = |(index, picture): (usize, Picture)| {
            let path = folder.path().join(format!("{index}.png"));
            picture.write(&path).unwrap();
            let said = judge.classify(
                &judge.pooled(&Picture::read(&path, &PictureReader::default()).unwrap().to_tensor()).unwrap(),
            );
            let said = said.argmax(-1, false).int64_value(&[0]) as usize;
            let class = known[if index < 4 { said } else { (said + 1) % known.len() }].clone();
            SampleFile { path, class: Some(class) }
        };
        let pictures: Vec<_> = Picture::from_batch(&images).into_iter().enumerate().map(draw).collect();
        let recognised = ClassAccuracy::of(&pictures, Device::Cpu).unwrap().unwrap();
        assert_eq!(recognised, ClassAccuracy { samples: 6, right: 4 });
        assert_eq!(ClassAccuracy::of(&[], Device::Cpu).unwrap(), None);
        for class in [Some("circle".into()), None] {
            let other = SampleFile { path: pictures[0].path.clone(), class };
            assert_eq!(ClassAccuracy::of(&[other], Device::Cpu).unwrap(), None);
        }
    }
}
