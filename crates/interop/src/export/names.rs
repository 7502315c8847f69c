//! Weights under other names.

use std::{collections::BTreeMap, path::Path};

use tch::Tensor;
use vqkit_torch::weights;

use super::networks::Trained;
use crate::error::{InteropError, Result};

/// The weights under the names that `theirs` gives, with what it does to each.
///
/// # Errors
/// For a variable that has no name there.
pub fn renamed(
    network: &Trained,
    theirs: impl Fn(&str, &Tensor) -> Option<(String, Tensor)>,
) -> Result<BTreeMap<String, Tensor>> {
    let rename = |(name, value): (&String, &Tensor)| {
        theirs(name, value).ok_or_else(|| {
            network.refused(format!("`{name}` has no name in this format, which lacks that part of the network"))
        })
    };
    network.weights.iter().map(rename).collect()
}

/// Writes weights as PyTorch's users expect them, with the metadata that transformers and diffusers ask for.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(weights::save(path, tensors, &metadata)?)
}

/// Writes JSON with a line for every key.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    Ok(vqkit_run::files::write_json(path, value)?)
}

/// Writes YAML.
///
/// # Errors
/// When the file cannot be written.
pub fn write_yaml(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_saphyr::to_string(value).map_err(|error| InteropError::file(path, error.to_string()))?;
    Ok(vqkit_run::files::write(path, text.as_bytes())?)
}
