//! `[tokenizer]` and `[template]`: network, quantizer, losses and training.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use vqkit_config::{ConfigError, Section};
use vqkit_quantizer::{QuantizeError, QuantizerConfig};
use vqkit_vqvae::{TokenizerConfig, TokenizerError};

use crate::{finetune::Finetune, loss::Loss, modality::InputSpec, pretrained::InheritedTokenizer, train::Train};

/// `[tokenizer]` with `[tokenizer.quantizer]`, `[tokenizer.loss]`, `[tokenizer.train]` and perhaps `[tokenizer.finetune]`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tokenizer {
    /// The network.
    #[schemars(flatten)]
    pub network: TokenizerConfig,
    /// The quantizer, which turns latents into indices.
    pub quantizer: QuantizerConfig,
    /// The loss. Default: the squared error of pixels; for label maps, cross entropy.
    #[schemars(default)]
    pub loss: Loss,
    /// How it is trained.
    pub train: Train,
    /// Weights that training starts from. Default: random ones.
    pub finetune: Option<Finetune>,
    /// In the resolved recipe of a run whose tokenizer comes from another run: which run. All other keys are then those
    /// of that run's recipe.
    pub inherited: Option<InheritedTokenizer>,
}

impl Tokenizer {
    /// `shape`: of the tokenizer's input; `trains_features`: whether the recipe has `[features]`.
    pub(super) fn from_section(
        mut section: Section,
        shape: InputSpec,
        trains_features: bool,
    ) -> Result<Self, ConfigError> {
        let quantizer_section = section.require("quantizer")?;
        let inherited = section.take("inherited")?.as_ref().map(Section::read::<InheritedTokenizer>).transpose()?;
        // The network of another run's [features] was there when that run needed it.
        let has_features = trains_features || inherited.is_some();
        let loss = section.take("loss")?.map(|loss| Loss::from_section(loss, shape, has_features));
        let loss = loss.transpose()?.unwrap_or_else(|| Loss::of(shape));
        let train = Train::from_section(&section.require("train")?)?;
        let finetune = section.take("finetune")?;
        let finetune =
            finetune.map(|section| Finetune::from_section(&section, loss.adversarial.as_ref())).transpose()?;
        let network: TokenizerConfig = section.read()?;
        let quantizer: QuantizerConfig = quantizer_section.read()?;
        network.validate().map_err(|error| match &error {
            TokenizerError::Config { field, reason } => section.error_at(field, reason),
            _ => section.error(&error.to_string()),
        })?;
        quantizer.validate().map_err(|error| match &error {
            QuantizeError::Config { field, reason } => quantizer_section.error_at(field, reason),
            _ => quantizer_section.error(&error.to_string()),
        })?;
        Ok(Self { network, quantizer, loss, train, finetune, inherited })
    }

    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(&self.network)?;
        table.insert("quantizer".into(), toml::Value::try_from(&self.quantizer)?);
        table.insert("loss".into(), self.loss.to_table()?.into());
        table.insert("train".into(), toml::Value::try_from(&self.train)?);
        if let Some(finetune) = &self.finetune {
            table.insert("finetune".into(), toml::Value::try_from(finetune)?);
        }
        if let Some(inherited) = &self.inherited {
            table.insert("inherited".into(), toml::Value::try_from(inherited)?);
        }
        Ok(table)
    }
}

/// `[tokenizer]` and `[template]`: a tokenizer of the recipe's own, or that of another run.
pub(super) fn own_or_inherited(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            generator.subschema_for::<Tokenizer>(),
            {
                "description": "The trained tokenizer of another run.",
                "type": "object",
                "properties": {
                    "from": { "description": "Folder of the run whose trained tokenizer is used.", "type": "string" },
                },
                "required": ["from"],
                "additionalProperties": false,
            },
        ]
    })
}
