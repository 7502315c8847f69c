//! The weights under vqkit's own names, which for most networks are those of the original.

use std::path::Path;

use vqkit_run::Run;

use super::{
    names::{save, write_json},
    networks,
};
use crate::error::{InteropError, Result};

/// Writes one file of weights for every trained network, and `recipe.json`.
pub fn write(run: &Run, folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for modality in run.recipe().modalities() {
        let name = format!("{}.safetensors", modality.stage());
        save(&folder.join(&name), &networks::tokenizer(run, modality)?.weights)?;
        names.push(name);
    }
    for level in 0..run.recipe().priors.len() {
        let name = format!("prior-{level}.safetensors");
        save(&folder.join(&name), &networks::prior(run, level)?.weights)?;
        names.push(name);
    }
    let table: toml::Table =
        toml::from_str(&run.recipe().to_toml()?).map_err(|error| InteropError::file(run.path(), error.to_string()))?;
    let recipe = serde_json::to_value(table).map_err(|error| InteropError::file(run.path(), error.to_string()))?;
    write_json(&folder.join("recipe.json"), &recipe)?;
    let loads: Vec<_> = names.iter().map(|name| format!("load_file(\"{name}\")")).collect();
    Ok(format!("```python\nfrom safetensors.torch import load_file\n\n{}\n```\n", loads.join("\n")))
}
