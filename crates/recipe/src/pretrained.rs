//! `tokenizer.from`: reuses the trained tokenizer of another run.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Section};

/// `[tokenizer.inherited]`: the run that the tokenizer comes from. Only resolved recipes have this section, beside the
/// tokenizer's keys in that run's recipe; in a recipe, write `tokenizer.from` instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InheritedTokenizer {
    /// The run folder, as the recipe named it.
    pub from: PathBuf,
    /// Fingerprint of the weights of that run's tokenizer.
    pub fingerprint: String,
}

/// Takes `from` out of `[tokenizer]`, if it is there; then no other key may be.
pub(super) fn take_from(section: &mut Section) -> Result<Option<PathBuf>, ConfigError> {
    let Some(from) = section.take_value::<PathBuf>("from")? else { return Ok(None) };
    match section.first_key() {
        None => Ok(Some(from)),
        Some(key) => {
            let from = from.display();
            let reason =
                format!("tokenizer.from = \"{from}\" reuses a trained tokenizer; give this key or `from`, not both");
            Err(section.error_at(&key, &reason))
        }
    }
}

/// `[tokenizer]` of a recipe whose tokenizer is still to be inherited.
pub(super) fn to_table(from: &Path) -> toml::Table {
    toml::Table::from_iter([("from".to_owned(), toml::Value::String(from.to_string_lossy().into_owned()))])
}
