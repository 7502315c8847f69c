//! No samples: what an imported run has, whose data is not known.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open::{DataKeys, OpenSource, Opening};
use crate::{DataError, Source, TemplateKind};

/// `type = "none"`: there are no samples. Recipes of imported runs have it; such a run encodes, decodes and samples, and what needs
/// samples has to be given them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoneConfig {
    /// What the templates are that the run is conditioned on. Default: it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateKind>,
}

impl OpenSource for NoneConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        self.template.as_ref().map_or(Ok(()), TemplateKind::validate)
    }

    fn template(&self) -> Option<TemplateKind> {
        self.template.clone()
    }

    fn train(&self, _opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        let reason = "is \"none\": the run was imported and has no data of its own; write a recipe with your data that starts from this \
                      run, or give the images";
        Err(DataError::config("source.type", reason))
    }

    fn validation(&self, _opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        Ok(None)
    }
}
