//! Protocols: named ways to prepare images for the network.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use vqkit_data::{DataError, Filter, Picture, Pixels, resample};
use vqkit_recipe::InvalidRequest;

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
            (Features::VggCifar10, None) => Ok(Self::OwnSize),
            (Features::Inception, Some(Self::OwnSize))
            | (Features::VggCifar10, Some(Self::PytorchFid | Self::CleanFid)) => {
                let message = format!(
                    "inception takes pytorch-fid or clean-fid, vgg-cifar10 takes own-size; found {} for {features}",
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
