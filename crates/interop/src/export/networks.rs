//! The trained networks of a run, as their sections of the recipe and their weights.

use std::{collections::BTreeMap, path::PathBuf};

use tch::Tensor;
use toml::Table;
use vqkit_recipe::{Modality, stage_names};
use vqkit_run::{RECIPE, Run, checkpoint_weights};

use crate::{
    error::{InteropError, Result},
    fill::QUANTIZER_STATE,
};

/// A trained network.
#[derive(Debug)]
pub struct Trained {
    /// The recipe.
    pub recipe: PathBuf,
    /// Its section, of a tokenizer with that of the quantizer inside.
    pub section: Table,
    /// Its weights for use by our names, without state that is ours alone.
    pub weights: BTreeMap<String, Tensor>,
}

/// The tokenizer of a modality.
///
/// # Errors
/// When it is not trained, or cannot be read.
pub fn tokenizer(run: &Run, modality: Modality) -> Result<Trained> {
    let config = run.recipe().tokenizer(modality)?;
    let mut section = to_table(run, &config.network)?;
    section.insert("quantizer".into(), to_table(run, &config.quantizer)?.into());
    Ok(Trained { recipe: run.path().join(RECIPE), section, weights: weights_of(run, modality.stage())? })
}

/// The prior of a level.
///
/// # Errors
/// When it is not trained, or cannot be read.
pub fn prior(run: &Run, level: usize) -> Result<Trained> {
    let stage = &stage_names::stages(run.recipe())[level];
    let section = to_table(run, &run.recipe().priors[level].network)?;
    Ok(Trained { recipe: run.path().join(RECIPE), section, weights: weights_of(run, stage)? })
}

/// The weights that a stage of a run holds for use, without state that is ours alone.
fn weights_of(run: &Run, stage: &str) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = all_weights(run, stage)?;
    tensors.retain(|name, _| name.rsplit('.').next().is_some_and(|last| !QUANTIZER_STATE.contains(&last)));
    Ok(tensors)
}

/// Everything that a stage of a run holds for use.
///
/// # Errors
/// When the stage is not done, or its weights cannot be read.
pub fn all_weights(run: &Run, stage: &str) -> Result<BTreeMap<String, Tensor>> {
    let checkpoint = run.path().join(&run.require(stage)?.path);
    Ok(checkpoint_weights::read_for_use(&checkpoint)?)
}

fn to_table(run: &Run, value: &impl serde::Serialize) -> Result<Table> {
    Table::try_from(value).map_err(|error| InteropError::file(run.path().join(RECIPE), error.to_string()))
}

impl Trained {
    /// The type of the network.
    pub fn kind(&self) -> &str {
        self.section.get("type").and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// The type of a tokenizer's quantizer.
    pub fn quantizer(&self) -> &str {
        self.text("quantizer", "type").unwrap_or_default()
    }

    /// A text in a section below.
    pub fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.section.get(section)?.get(key)?.as_str()
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.section.get(key)?.as_integer()
    }

    /// A number; 0 where it is left out.
    pub fn number(&self, key: &str) -> f64 {
        self.section.get(key).and_then(toml::Value::as_float).unwrap_or(0.0)
    }

    /// A list of whole numbers; empty where there is none.
    pub fn integers(&self, key: &str) -> Vec<i64> {
        let list = self.section.get(key).and_then(toml::Value::as_array);
        list.into_iter().flatten().filter_map(toml::Value::as_integer).collect()
    }

    /// Whether a key is given.
    pub fn has(&self, key: &str) -> bool {
        self.section.contains_key(key)
    }

    /// A truth value that is true where it is left out.
    pub fn is_on(&self, key: &str) -> bool {
        self.section.get(key).and_then(toml::Value::as_bool).unwrap_or(true)
    }

    /// The shape of a variable.
    pub fn shape(&self, name: &str) -> Vec<i64> {
        self.weights.get(name).map(Tensor::size).unwrap_or_default()
    }

    /// An error unless this is one of the networks, with one of the quantizers, that `format` has.
    pub fn must_be(&self, format: &str, networks: &[&str], quantizers: &[&str]) -> Result<()> {
        let refused = |what: &str, found: &str, allowed: &[&str]| {
            Err(self.refused(format!("{format} has no {what} of type `{found}`; it has {}", allowed.join(", "))))
        };
        if !networks.contains(&self.kind()) {
            return refused("network", self.kind(), networks);
        }
        match quantizers.is_empty() || quantizers.contains(&self.quantizer()) {
            true => Ok(()),
            false => refused("quantizer", self.quantizer(), quantizers),
        }
    }

    /// An error unless the keys of this VQGAN that `format` has no word for say what it takes for granted. `said`: the keys
    /// that it has words for.
    pub fn must_be_plain(&self, format: &str, said: &[&str]) -> Result<()> {
        let as_encoder = |key: &str, of: &str| !self.has(key) || self.integers(key) == self.integers(of);
        let taken_for_granted = [
            ("norm_groups", self.integer("norm_groups").is_none_or(|groups| groups == 32)),
            ("mid_attention", self.is_on("mid_attention")),
            ("decoder_norm", !self.is_spatial()),
            ("resamp_with_conv", self.is_on("resamp_with_conv")),
            ("decoder_ch_mult", as_encoder("decoder_ch_mult", "ch_mult")),
            ("decoder_attn_resolutions", as_encoder("decoder_attn_resolutions", "attn_resolutions")),
        ];
        let differs = taken_for_granted.into_iter().find(|(key, is_plain)| !is_plain && !said.contains(key));
        differs.map_or(Ok(()), |(key, _)| {
            let value = self.section.get(key).map(toml::Value::to_string).unwrap_or_default();
            Err(self.refused(format!("{format} has no network with {key} = {value}")))
        })
    }

    /// Whether the decoder is normalised by the codes.
    pub fn is_spatial(&self) -> bool {
        self.section.get("decoder_norm").and_then(toml::Value::as_str) == Some("spatial")
    }

    /// The error of a recipe that a format cannot say.
    pub fn refused(&self, reason: impl Into<String>) -> InteropError {
        InteropError::file(&self.recipe, reason)
    }
}
