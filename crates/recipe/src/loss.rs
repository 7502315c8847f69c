//! `[tokenizer.loss]` and `[template.loss]`: what a tokenizer is trained for, beside the quantizer's own terms.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};
use vqkit_losses::{AdversarialConfig, LossError, ReconstructionLoss};

use crate::{modality::InputSpec, train::OptimizerKind, train::Train};

/// `[tokenizer.loss]`: the terms of a tokenizer's loss, beside those of the quantizer.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Loss {
    /// The pixel term.
    #[schemars(flatten)]
    pub pixels: Pixels,
    /// The perceptual term, if any.
    pub perceptual: Option<PerceptualConfig>,
    /// The discriminator, if any.
    pub adversarial: Option<Adversarial>,
}

/// The keys of `[tokenizer.loss]` itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pixels {
    /// The pixel term: `l2` (the default) or `l1`; for label maps `cross-entropy`, which is their only choice.
    pub reconstruction: ReconstructionLoss,
    /// Weight of the pixel term, 0 or more. Default 1.
    pub reconstruction_weight: f64,
}

impl Default for Pixels {
    fn default() -> Self {
        Self { reconstruction: ReconstructionLoss::default(), reconstruction_weight: 1.0 }
    }
}

impl Pixels {
    fn of(shape: InputSpec) -> Self {
        let reconstruction =
            if shape.labels { ReconstructionLoss::CrossEntropy } else { ReconstructionLoss::default() };
        Self { reconstruction, ..Self::default() }
    }

    fn from_section(section: &mut Section, shape: InputSpec) -> Result<Self, ConfigError> {
        let default = Self::of(shape);
        let reconstruction = section.take_value("reconstruction")?.unwrap_or(default.reconstruction);
        if (reconstruction == ReconstructionLoss::CrossEntropy) != shape.labels {
            let reason = "cross-entropy is for label maps and only for them; images take l2 or l1";
            return Err(section.error_at("reconstruction", reason));
        }
        Ok(Self { reconstruction, ..section.read()? })
    }
}

vqkit_config::tagged! {
    /// `[tokenizer.loss.perceptual]`: the network whose features are compared.
    pub enum PerceptualConfig {
        /// A small VGG-like classifier that vqkit trains.
        "vgg" => Vgg(VggConfig),
        /// LPIPS on VGG16.
        "lpips" => Lpips(LpipsConfig),
    }
}

/// `type = "vgg"`: a small classifier, as trained by the stage `features`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VggConfig {
    /// Weight of the term, 0 or more. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// `"cifar10"`: the network that comes with vqkit; `"run"`: that of this run's `[features]`; anything else: a file
    /// of weights. Default `"cifar10"`.
    #[serde(default = "VggConfig::default_weights")]
    pub weights: String,
}

/// `type = "lpips"`: LPIPS v0.1 on VGG16.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LpipsConfig {
    /// Weight of the term, 0 or more. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Files of weights that together hold trunk and heads: the state of the package lpips, or torchvision's VGG16 and
    /// the heads of lpips; safetensors or PyTorch files. Default: none, both are downloaded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<PathBuf>,
    /// Whether training continues without the term if the weights are missing and cannot be downloaded; every start
    /// tries again, also on resume. Default false.
    #[serde(default)]
    pub optional: bool,
}

fn one() -> f64 {
    1.0
}

impl VggConfig {
    fn default_weights() -> String {
        "cifar10".into()
    }
}

impl PerceptualConfig {
    /// Weight of the term.
    pub fn weight(&self) -> f64 {
        match self {
            Self::Vgg(VggConfig { weight, .. }) | Self::Lpips(LpipsConfig { weight, .. }) => *weight,
        }
    }

    /// Files that hold its weights.
    pub(super) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Vgg(VggConfig { weights, .. }) if weights == "cifar10" || weights == "run" => Vec::new(),
            Self::Vgg(VggConfig { weights, .. }) => vec![Path::new(weights)],
            Self::Lpips(LpipsConfig { weights, .. }) => weights.iter().map(PathBuf::as_path).collect(),
        }
    }

    /// Checks that the network exists and takes these images; an error is the key and what is wrong with it.
    fn check(&self, shape: InputSpec, trains_features: bool) -> Result<(), (&'static str, String)> {
        let weights = match self {
            Self::Vgg(VggConfig { weights, .. }) => Some(weights.as_str()),
            Self::Lpips(_) => None,
        };
        match weights {
            Some("run") if !trains_features => {
                Err(("weights", "\"run\" is the network of [features], but the recipe has no such section".into()))
            }
            Some("cifar10") if shape.channels != 3 => {
                let found = shape.describe_channels();
                Err(("type", format!("the network takes images of 3 channels, but {found}")))
            }
            _ => Ok(()),
        }
    }
}

/// `[tokenizer.loss.adversarial]` with `[tokenizer.loss.adversarial.train]`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Adversarial {
    /// The discriminator and its objective.
    #[schemars(flatten)]
    pub objective: AdversarialConfig,
    /// Optimizer settings of the discriminator that differ from the tokenizer's.
    #[schemars(default)]
    pub train: DiscriminatorTrain,
}

/// Optimizer settings of the discriminator that differ from the tokenizer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorTrain {
    /// Optimizer of the discriminator. Default `"adamw"`.
    pub optimizer: OptimizerKind,
    /// Learning rate, multiplied by the factor of the schedule. Default: the tokenizer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Decay rates of AdamW's two moments, in [0, 1). Default `[0.5, 0.9]`, as in taming-transformers.
    pub betas: (f64, f64),
}

impl Default for DiscriminatorTrain {
    fn default() -> Self {
        Self { optimizer: OptimizerKind::default(), learning_rate: None, betas: (0.5, 0.9) }
    }
}

impl DiscriminatorTrain {
    /// The training settings of the discriminator, given those of its tokenizer.
    pub fn beside(&self, tokenizer: &Train) -> Train {
        Train {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate.unwrap_or(tokenizer.learning_rate),
            betas: self.betas,
            weight_decay: 0.0,
            ..tokenizer.clone()
        }
    }
}

impl Loss {
    /// The loss where the recipe has no such section.
    pub(super) fn of(shape: InputSpec) -> Self {
        Self { pixels: Pixels::of(shape), ..Self::default() }
    }

    /// `shape`: of the tokenizer's input; `trains_features`: whether the recipe has `[features]`.
    pub(super) fn from_section(
        mut section: Section,
        shape: InputSpec,
        trains_features: bool,
    ) -> Result<Self, ConfigError> {
        let perceptual_section = section.take("perceptual")?;
        let adversarial = section.take("adversarial")?;
        let adversarial = adversarial.map(|section| Adversarial::from_section(section, shape)).transpose()?;
        let pixels = Pixels::from_section(&mut section, shape)?;
        check_weight(&section, "reconstruction_weight", pixels.reconstruction_weight)?;
        let perceptual: Option<PerceptualConfig> = perceptual_section.as_ref().map(Section::read).transpose()?;
        if let (Some(perceptual), Some(section)) = (&perceptual, &perceptual_section) {
            check_weight(section, "weight", perceptual.weight())?;
            perceptual.check(shape, trains_features).map_err(|(key, reason)| section.error_at(key, &reason))?;
        }
        match shape.labels && (perceptual.is_some() || adversarial.is_some()) {
            true => {
                Err(section
                    .error("label maps are trained with cross entropy only; leave out perceptual and adversarial"))
            }
            false => Ok(Self { pixels, perceptual, adversarial }),
        }
    }

    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(self.pixels)?;
        if let Some(perceptual) = &self.perceptual {
            table.insert("perceptual".into(), toml::Value::try_from(perceptual)?);
        }
        if let Some(Adversarial { objective, train }) = &self.adversarial {
            let mut adversarial = toml::Table::try_from(objective)?;
            adversarial.insert("train".into(), toml::Value::try_from(train)?);
            table.insert("adversarial".into(), adversarial.into());
        }
        Ok(table)
    }
}

impl Adversarial {
    fn from_section(mut section: Section, shape: InputSpec) -> Result<Self, ConfigError> {
        let train_section = section.take("train")?;
        let objective: AdversarialConfig = section.read()?;
        let refuse = |error: LossError, below: &str| match &error {
            LossError::Config { field, reason } => section.error_at(&format!("{below}{field}"), reason),
            _ => section.error(&error.to_string()),
        };
        objective.discriminator.validate().map_err(|error| refuse(error, "discriminator."))?;
        objective.validate().map_err(|error| refuse(error, ""))?;
        let (n_layers, least) = (objective.discriminator.n_layers, objective.discriminator.least_size());
        if i64::from(shape.size) < least {
            let found = shape.describe_size();
            let reason = format!("{n_layers} layers need images of at least {least} pixels, but {found}");
            return Err(section.error_at("discriminator.n_layers", &reason));
        }
        let train: DiscriminatorTrain =
            train_section.as_ref().map_or_else(|| Ok(DiscriminatorTrain::default()), Section::read)?;
        let share = |value: f64| (0.0..1.0).contains(&value);
        if let Some(section) = &train_section {
            if let Some(rate) = train.learning_rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
                return Err(section.error_at("learning_rate", &format!("must be a positive number, found {rate}")));
            }
            if !share(train.betas.0) || !share(train.betas.1) {
                return Err(section.error_at("betas", &format!("must be in [0, 1), found {:?}", train.betas)));
            }
        }
        Ok(Self { objective, train })
    }
}

fn check_weight(section: &Section, key: &str, weight: f64) -> Result<(), ConfigError> {
    match weight.is_finite() && weight >= 0.0 {
        true => Ok(()),
        false => Err(section.error_at(key, &format!("must be 0 or more, found {weight}"))),
    }
}
