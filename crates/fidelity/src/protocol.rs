//! How pictures come before the network: by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use vqkit_data::{DataError, Filter, Picture, Pixels, resample};
use vqkit_recipe::InvalidRequest;

use crate::{error::Result, extractor::Features};

/// Height and width at which Inception looks at pictures.
const INCEPTION_SIZE: u32 = 299;

/// How the size of pictures becomes that of the network, and their values the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// As pytorch-fid and torch-fidelity do: bilinear without antialiasing, inside the network; `v / 127.5 - 1`.
    PytorchFid,
    /// As clean-fid does: bicubic with antialiasing, unrounded; `(v - 128) / 128`.
    CleanFid,
    /// As they are; `v / 127.5 - 1`.
    OwnSize,
}

impl Protocol {
    /// The one asked for, else the usual one of the network.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the network knows only another.
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

    /// How the size of pictures becomes that of the network.
    pub fn resize(self) -> &'static str {
        match self {
            Self::PytorchFid => "bilinear without antialiasing, by the network",
            Self::CleanFid => "bicubic with antialiasing, unrounded",
            Self::OwnSize => "none",
        }
    }

    /// What the network sees of a value `v` of 0 to 255.
    pub fn value_range(self) -> &'static str {
        match self {
            Self::PytorchFid | Self::OwnSize => "v / 127.5 - 1",
            Self::CleanFid => "(v - 128) / 128",
        }
    }

    /// A picture as it comes before the network.
    ///
    /// # Errors
    /// When a resize refuses the picture's size.
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

/// A picture on its way to the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Height and width.
    pub size: [u32; 2],
    /// What it shows.
    pub values: Values,
}

/// Pixels as they lie in a file, or as a resize left them.
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
            _ => Err("there are pytorch-fid, clean-fid and own-size".into()),
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
