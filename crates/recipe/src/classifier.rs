//! `[features]`: a small classifier, whose features serve as a perceptual loss.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};
use vqkit_losses::{LossError, SmallVggConfig};

use crate::train::Train;

/// `[features]` with `[features.train]`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Features {
    /// The network and the augmentation of its images.
    #[schemars(flatten)]
    pub network: Classifier,
    /// How it is trained.
    pub train: Train,
}

impl Features {
    /// `image_size`: `data.image_size` of the recipe.
    pub(super) fn from_section(mut section: Section, image_size: u32) -> Result<Self, ConfigError> {
        let train = Train::from_unsplit_section(&section.require("train")?)?;
        let network: Classifier = section.read()?;
        network.validate().map_err(|(key, reason)| section.error_at(key, &reason))?;
        let least = network.vgg().smallest_image();
        if i64::from(image_size) < least {
            let stages = network.widths.len();
            let reason =
                format!("{stages} stages need images of at least {least} pixels, data.image_size is {image_size}");
            return Err(section.error_at("widths", &reason));
        }
        if network.shift >= i64::from(image_size) {
            let reason = format!("must be below data.image_size = {image_size}, found {}", network.shift);
            return Err(section.error_at("shift", &reason));
        }
        Ok(Self { network, train })
    }

    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(&self.network)?;
        table.insert("train".into(), toml::Value::try_from(&self.train)?);
        Ok(table)
    }
}

/// The network of `[features]` and the augmentation of its images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// Checkpoint of such a classifier whose weights training starts from. Default: random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Channels of each stage, starting at full resolution.
    pub widths: Vec<i64>,
    /// Convolutions per stage. Default 2.
    #[serde(default = "Classifier::default_convolutions")]
    pub convolutions: i64,
    /// Augmentation: each training image is shifted by up to this many pixels in each direction; its edges are mirrored
    /// outward. Default 0: no shift.
    #[serde(default)]
    pub shift: i64,
    /// Augmentation: side, in pixels, of a square at a random position of each training image that is painted grey
    /// (DeVries and Taylor 2017). Default 0: no square.
    #[serde(default)]
    pub cutout: i64,
    /// Label smoothing, in [0, 1): the share of the target distribution that is spread evenly over all classes. Default
    /// 0.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl Classifier {
    fn default_convolutions() -> i64 {
        2
    }

    /// The configuration of the network alone.
    pub fn vgg(&self) -> SmallVggConfig {
        SmallVggConfig { widths: self.widths.clone(), convolutions: self.convolutions }
    }

    /// Checks every value; an error is the key and what is wrong with it.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        self.vgg().validate().map_err(|error| match error {
            LossError::Config { field, reason } => (field, reason),
            other => ("widths", other.to_string()),
        })?;
        for (key, pixels) in [("shift", self.shift), ("cutout", self.cutout)] {
            if pixels < 0 {
                return Err((key, format!("must be 0 or more, found {pixels}")));
            }
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(("label_smoothing", format!("must be in [0, 1), found {}", self.label_smoothing)));
        }
        Ok(())
    }
}
