//! `[tokenizer.finetune]` and `[prior.finetune]`: training that starts from trained weights.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};
use vqkit_priors::PriorConfig;

use crate::{error::Result, loss::Adversarial};

/// The highest rank: more than any published adapter has.
const HIGHEST_RANK: i64 = 1 << 14;

/// Keys of a prior's network that may differ from those of the prior that it starts from, beside rates of dropout.
const FREE: [&str; 4] = ["pkeep", "activation_checkpointing", "block_size", "text_loss_weight"];

/// `[tokenizer.finetune]`: training starts from the weights of a trained tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// A run, a checkpoint of a run, or a checkpoint of another project of a family that `vqkit import` reads. A file of a quantizer alone, as vector-quantize-pytorch has them, gives the codes.
    pub from: PathBuf,
    /// The part that is trained. Default `"all"`.
    #[serde(default)]
    pub train: FinetunedPart,
    /// Initial weights of the discriminator. Default `"fresh"`.
    #[serde(default)]
    pub discriminator: InitFrom,
    /// Number of first steps in which only the discriminator is trained and the tokenizer stays as it is. Default 0.
    #[serde(default)]
    pub discriminator_warmup_steps: u64,
    /// Trains low-rank updates of the weights instead of the weights. Default: the weights themselves are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
}

/// The part of a tokenizer that fine-tuning trains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FinetunedPart {
    /// The whole tokenizer.
    #[default]
    All,
    /// Only the decoder: the tokens of every image stay the same.
    Decoder,
    /// The decoder and the codebook; the encoder stays the same.
    DecoderAndCodebook,
}

/// Initial weights of a discriminator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitFrom {
    /// Random weights.
    #[default]
    Fresh,
    /// Those stored with the tokenizer's weights.
    Restored,
}

/// `[prior.finetune]`: training starts from the weights of a trained prior of the same type. Classes of the same names
/// keep their embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriorFinetune {
    /// A run whose prior of the same level is used, a checkpoint of a prior in a run, a safetensors file of a prior's
    /// weights, or a checkpoint of another project of a family that `vqkit import` reads.
    pub from: PathBuf,
    /// The part that is trained. Default `"all"`.
    #[serde(default)]
    pub train: PriorFinetunedPart,
    /// Trains low-rank updates of the weights instead of the weights; the tables of the conditions are then trained
    /// whole. Default: the weights themselves are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
}

/// The part of a prior that fine-tuning trains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PriorFinetunedPart {
    /// The whole prior.
    #[default]
    All,
    /// Only what reads the conditions, such as the table of classes.
    Conditions,
}

/// Low-rank adaptation (Hu et al. 2021, "LoRA"): a trained weight `W` becomes `W + alpha / rank · B A`; only `A` and `B`
/// are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank of the updates, at least 1.
    pub rank: i64,
    /// The update is multiplied by `alpha / rank`. Default: `rank`, a factor of 1.
    pub alpha: Option<f64>,
    /// The kinds of layers whose weights get an update. Default: all kinds that the trained part has.
    #[serde(default = "LoraTarget::all")]
    pub targets: Vec<LoraTarget>,
}

/// A kind of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoraTarget {
    /// Kernels of convolutions outside of attention.
    Convolutions,
    /// Projections to queries, keys and values, and from the output of attention.
    Attention,
    /// The matrices of the MLPs of transformers.
    Mlp,
}

impl Finetune {
    /// `adversarial`: the section of the discriminator, where the recipe has one.
    pub(super) fn from_section(section: &Section, adversarial: Option<&Adversarial>) -> Result<Self, ConfigError> {
        let finetune: Self = section.read()?;
        let warms_up = finetune.discriminator_warmup_steps > 0;
        match adversarial {
            None if finetune.discriminator == InitFrom::Restored => {
                return Err(section.error_at("discriminator", "needs [tokenizer.loss.adversarial]"));
            }
            None if warms_up => {
                return Err(section.error_at("discriminator_warmup_steps", "needs [tokenizer.loss.adversarial]"));
            }
            Some(adversarial) if warms_up && adversarial.objective.start_step > 0 => {
                let start = adversarial.objective.start_step;
                let reason = format!(
                    "trains the discriminator from the first step on, but loss.adversarial.start_step is {start}: leave one of them out"
                );
                return Err(section.error_at("discriminator_warmup_steps", &reason));
            }
            _ => {}
        }
        Lora::check(finetune.lora.as_ref(), section)?;
        Ok(finetune)
    }
}

impl PriorFinetune {
    pub(super) fn from_section(section: &Section) -> Result<Self, ConfigError> {
        let finetune: Self = section.read()?;
        if finetune.lora.is_some() && finetune.train == PriorFinetunedPart::Conditions {
            let reason =
                "\"conditions\" trains none of the layers that [prior.finetune.lora] updates: leave one of them out";
            return Err(section.error_at("train", reason));
        }
        Lora::check(finetune.lora.as_ref(), section)?;
        Ok(finetune)
    }

    /// The keys in which the network of a trained prior differs from the one that starts from its weights, with both
    /// values. Left out are those that change no weight and no meaning of one: rates of dropout, and others of training.
    ///
    /// # Errors
    /// When TOML cannot express a value.
    pub fn differences(theirs: &PriorConfig, ours: &PriorConfig) -> Result<Vec<(String, String, String)>> {
        let (theirs, ours) = (toml::Table::try_from(theirs)?, toml::Table::try_from(ours)?);
        let shown = |value: Option<&toml::Value>| value.map_or_else(|| "not given".to_owned(), ToString::to_string);
        let is_free = |key: &str| FREE.contains(&key) || key.contains("drop");
        let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).filter(|key| !is_free(key)).collect();
        let differ = keys.into_iter().filter(|key| theirs.get(*key) != ours.get(*key));
        Ok(differ.map(|key| (key.clone(), shown(theirs.get(key)), shown(ours.get(key)))).collect())
    }
}

impl Lora {
    /// The factor on `B A`.
    pub fn scale(&self) -> f64 {
        self.alpha.map_or(1.0, |alpha| alpha / self.rank as f64)
    }

    /// `section`: the one around that of `lora`.
    fn check(lora: Option<&Self>, section: &Section) -> Result<(), ConfigError> {
        let Some(Self { rank, alpha, targets }) = lora else { return Ok(()) };
        if !(1..=HIGHEST_RANK).contains(rank) {
            let reason = format!("must be in 1..={HIGHEST_RANK}, found {rank}");
            return Err(section.error_at("lora.rank", &reason));
        }
        if let Some(alpha) = alpha.filter(|alpha| !(alpha.is_finite() && *alpha > 0.0)) {
            return Err(section.error_at("lora.alpha", &format!("must be a positive number, found {alpha}")));
        }
        match targets.is_empty() {
            true => Err(section.error_at("lora.targets", "must name at least one kind of layers")),
            false => Ok(()),
        }
    }
}

impl LoraTarget {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        vec![Self::Convolutions, Self::Attention, Self::Mlp]
    }

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Convolutions => "convolutions",
            Self::Attention => "attention",
            Self::Mlp => "mlp",
        }
    }
}
