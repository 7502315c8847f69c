//! Protocols: named ways to prepare images for the network.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_data::{DataError, Filter, Picture, Pixels, resample};
use vqkit_metrics::PixelError;
use vqkit_recipe::InvalidRequest;
use vqkit_run::RgbImage;

use crate::{error::Result, extractor::Features};

/// Height and width of Inception's input.
const INCEPTION_SIZE: u32 = 299;

/// How images are resized and scaled for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// As in pytorch-fid and torch-fidelity: bilinear without antialiasing, inside the network; `v / 127.5 - 1`.
    PytorchFid,
    /// As in clean-fid: bicubic with antialiasing, unrounded; `(v - 128) / 128`.
    CleanFid,
    /// Not resized; `v / 127.5 - 1`.
    OwnSize,
}

impl Protocol {
    /// The requested protocol, else the usual one of the network.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the network supports only another.
    pub fn resolve(asked: Option<Self>, features: Features) -> Result<Self> {
        match (features, asked) {
            (Features::Inception, None) => Ok(Self::PytorchFid),
            (Features::VggCifar10 | Features::Classifier, None) => Ok(Self::OwnSize),
            (Features::Inception, Some(Self::OwnSize))
            | (Features::VggCifar10 | Features::Classifier, Some(Self::PytorchFid | Self::CleanFid)) => {
                let message = format!(
                    "inception takes pytorch-fid or clean-fid, the others take own-size; found {} for {features}",
                    asked.map_or_else(String::new, |asked| asked.to_string())
                );
                Err(InvalidRequest::option("protocol", message).into())
            }
            (_, Some(asked)) => Ok(asked),
        }
    }

    /// How images are resized for the network.
    pub fn resize(self) -> &'static str {
        match self {
            Self::PytorchFid => "bilinear without antialiasing, by the network",
            Self::CleanFid => "bicubic with antialiasing, unrounded",
            Self::OwnSize => "none",
        }
    }

    /// How a value `v` of 0 to 255 is scaled for the network.
    pub fn value_range(self) -> &'static str {
        match self {
            Self::PytorchFid | Self::OwnSize => "v / 127.5 - 1",
            Self::CleanFid => "(v - 128) / 128",
        }
    }

    /// An image, prepared for the network.
    ///
    /// # Errors
    /// When the image's size cannot be resized.
    pub fn show(self, picture: &Picture) -> Result<Shown, DataError> {
        let size = [picture.height(), picture.width()];
        match (self, picture.pixels()) {
            (Self::CleanFid, _) => {
                let mut values = resample(picture, INCEPTION_SIZE, INCEPTION_SIZE, Filter::Bicubic)?;
                values.iter_mut().for_each(|value| *value = (*value - 128.0) / 128.0);
                Ok(Shown { size: [INCEPTION_SIZE; 2], values: Values::Numbers(values) })
            }
            (_, Pixels::Rgb8(bytes)) => Ok(Shown { size, values: Values::Bytes(bytes.clone()) }),
            _ => Ok(Shown { size, values: Values::Bytes(picture.to_rgb8()) }),
        }
    }

    /// Images that are in memory, rounded to 8 bits as in a file and prepared for the network.
    ///
    /// # Shapes
    /// `[B, 3, H, W]` in `[-1, 1]`; values outside are clamped → `[B, 3, H', W']` in the network's range.
    ///
    /// # Errors
    /// When the images' size cannot be resized.
    pub fn prepare(self, images: &Tensor) -> Result<Tensor> {
        match self {
            Self::PytorchFid | Self::OwnSize => Ok(PixelError::to_8_bits(images) / 127.5 - 1.0),
            Self::CleanFid => {
                let pictures = RgbImage::from_batch(images).into_iter();
                let shown = pictures.map(|picture| Ok(self.show(&picture.to_data()?)?)).collect::<Result<Vec<_>>>()?;
                Ok(Shown::batch(&shown).to_device(images.device()))
            }
        }
    }
}

/// An image on its way to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Height and width.
    pub size: [u32; 2],
    /// Its pixels.
    pub values: Values,
}

/// Pixels as stored in a file, or after resizing.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// `[H, W, 3]`, 0 to 255.
    Bytes(Vec<u8>),
    /// `[3, H, W]`, the network's own range.
    Numbers(Vec<f32>),
}

impl Shown {
    /// Images of one size as `[B, 3, H, W]` in the network's range.
    pub fn batch(images: &[Self]) -> Tensor {
        let [height, width] = images.first().map_or([0; 2], |shown| shown.size.map(i64::from));
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        for shown in images {
            match &shown.values {
                Values::Bytes(values) => bytes.extend_from_slice(values),
                Values::Numbers(values) => numbers.extend_from_slice(values),
            }
        }
        match numbers.is_empty() {
            false => Tensor::from_slice(&numbers).view([-1, 3, height, width]),
            true => {
                let pixels = Tensor::from_slice(&bytes).view([-1, height, width, 3]).permute([0, 3, 1, 2]);
                pixels.to_kind(Kind::Float) / 127.5 - 1.0
            }
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pytorch-fid" => Ok(Self::PytorchFid),
            "clean-fid" => Ok(Self::CleanFid),
            "own-size" => Ok(Self::OwnSize),
            _ => Err("must be pytorch-fid, clean-fid or own-size".into()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::PytorchFid => "pytorch-fid",
            Self::CleanFid => "clean-fid",
            Self::OwnSize => "own-size",
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn images_in_memory_are_prepared_as_files_are() {
        tch::manual_seed(5);
        let images = Tensor::rand([2, 3, 12, 12], (Kind::Float, Device::Cpu)) * 2.4 - 1.2;
        for protocol in [Protocol::PytorchFid, Protocol::CleanFid, Protocol::OwnSize] {
            let as_files = RgbImage::from_batch(&images).into_iter();
            let shown: Vec<Shown> = as_files.map(|file| protocol.show(&file.to_data().unwrap()).unwrap()).collect();
            let (prepared, wanted) = (protocol.prepare(&images).unwrap(), Shown::batch(&shown));
            assert!(prepared.allclose(&wanted, 1e-6, 1e-6, false), "{protocol}");
        }
    }
}
