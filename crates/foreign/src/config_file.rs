//! The configuration that lies beside a checkpoint, as YAML or JSON, and the arguments inside of training files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    error::{ForeignError, Result},
    nested_values::parse,
};

/// Longer files are no configurations.
const LONGEST: u64 = 1 << 22;

/// Names of configurations, the likeliest first; in the checkpoint's folder, and in `configs/` beside or above it.
const NAMES: [&str; 4] = ["config.yaml", "model.yaml", "config.json", "project.yaml"];

/// What is left out of the end of a checkpoint's name.
const ENDINGS: [&str; 7] = [".index.json", ".safetensors", ".ckpt", ".pth", ".pt", ".bin", ".pkl"];

/// Values by nested names: what a YAML or JSON file says, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForeignConfig {
    /// Where it was read.
    pub path: Option<PathBuf>,
    value: Value,
}

impl ForeignConfig {
    /// Reads a YAML or JSON file.
    ///
    /// # Errors
    /// When it cannot be read, is neither, or is larger than 4 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| ForeignError::Io { action: "read", path: path.to_owned(), source };
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > LONGEST {
            let reason = format!("has {length} bytes; a configuration has at most {LONGEST}");
            return Err(ForeignError::file(path, reason));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let value = parse(&text, path.extension().is_some_and(|ending| ending == "json"));
        let value = value.map_err(|reason| ForeignError::file(path, reason))?;
        Ok(Self { path: Some(path.to_owned()), value })
    }

    /// The configuration of a checkpoint: `NAME.yaml` or `NAME.json` with the checkpoint's own name, else a file of a usual name or
    /// one that ends in `-project.yaml`; in the checkpoint's folder, in `configs/` inside of it, and in `configs/` beside it.
    /// Nothing where there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn beside(checkpoint: &Path) -> Result<Self> {
        let folder = checkpoint.parent().unwrap_or(Path::new("."));
        let above = folder.parent().unwrap_or(folder);
        let folders = [folder.to_owned(), folder.join("configs"), above.join("configs")];
        let name = own_name(checkpoint);
        let own = folders
            .iter()
            .flat_map(|folder| ["yaml", "yml", "json"].map(|ending| folder.join(format!("{name}.{ending}"))));
        let usual = folders.iter().flat_map(|folder| NAMES.map(|name| folder.join(name)));
        let found = own.chain(usual).find(|path| path.is_file() && path != checkpoint);
        let found = found.or_else(|| folders.iter().find_map(|folder| project_file(folder)));
        found.map_or_else(|| Ok(Self::default()), |path| Self::read(&path))
    }

    /// Values that were read elsewhere.
    pub fn of(value: Value) -> Self {
        Self { path: None, value }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.value.is_null()
    }

    /// The value of a key, wherever it stands; the one that is nested least.
    pub fn find(&self, key: &str) -> Option<&Value> {
        let mut level = vec![&self.value];
        while !level.is_empty() {
            if let Some(found) = level.iter().find_map(|value| value.get(key)) {
                return Some(found);
            }
            level = level.into_iter().flat_map(children).collect();
        }
        None
    }

    /// What stands below a key; nothing where there is none.
    pub fn section(&self, key: &str) -> Self {
        Self { path: self.path.clone(), value: self.find(key).cloned().unwrap_or(Value::Null) }
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.find(key)?.as_i64()
    }

    /// A number. YAML 1.1 writes `1e-6` as a text, so that a text of a number is one.
    pub fn number(&self, key: &str) -> Option<f64> {
        let value = self.find(key)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A truth value.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.find(key)?.as_bool()
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.find(key)?.as_str()
    }

    /// A list of whole numbers.
    pub fn integers(&self, key: &str) -> Option<Vec<i64>> {
        self.find(key)?.as_array()?.iter().map(Value::as_i64).collect()
    }

    /// The last part of a dotted class path: of `target` or `class_path`.
    pub fn class(&self) -> Option<&str> {
        let path = self.value.get("target").or_else(|| self.value.get("class_path"))?.as_str()?;
        path.rsplit('.').next()
    }

    /// The class of the model: what `model` names, or the file itself, or `_class_name` of diffusers.
    pub fn model_class(&self) -> Option<&str> {
        let model = self.value.get("model").unwrap_or(&self.value);
        let path = ["target", "class_path", "_class_name"].iter().find_map(|key| model.get(key))?.as_str()?;
        path.rsplit('.').next()
    }
}

/// A checkpoint's name without the endings of its format.
fn own_name(checkpoint: &Path) -> String {
    let mut name = checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for ending in ENDINGS {
        name.truncate(name.strip_suffix(ending).unwrap_or(&name).len());
    }
    name
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(entries) => entries.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// The first file of a folder that ends in `-project.yaml`, as taming-transformers writes them.
fn project_file(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-project.yaml")))
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

    use super::*;

    const NET2NET: &str = "
model:
  target: taming.models.cond_transformer.Net2NetTransformer
  params:
    first_stage_config: {target: taming.models.vqgan.VQModel, params: {n_embed: 1024, ddconfig: {ch_mult: [1, 1, 2]}}}
    learning_rate: 4.5e-06
";

    #[test]
    fn values_are_found_by_their_keys() {
        let config = ForeignConfig::of(parse(NET2NET, false).unwrap());
        assert_eq!(config.section("model").class(), Some("Net2NetTransformer"));
        let first = config.section("first_stage_config");
        assert_eq!((first.class(), first.integer("n_embed")), (Some("VQModel"), Some(1024)));
        assert_eq!(first.integers("ch_mult"), Some(vec![1, 1, 2]));
        assert_eq!(config.number("learning_rate"), Some(4.5e-6));
        assert!(config.section("cond_stage_config").is_empty());
    }

    #[test]
    fn the_file_beside_a_checkpoint_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoints, configs) = (folder.path().join("checkpoints"), folder.path().join("configs"));
        fs::create_dir(&checkpoints).unwrap();
        fs::create_dir(&configs).unwrap();
        let checkpoint = checkpoints.join("last.ckpt");
        assert!(ForeignConfig::beside(&checkpoint).unwrap().is_empty());
        fs::write(configs.join("2021-04-03T19-39-50-project.yaml"), NET2NET).unwrap();
        assert_eq!(ForeignConfig::beside(&checkpoint).unwrap().integer("n_embed"), Some(1024));
        fs::write(checkpoints.join("last.json"), r#"{"n_embed": 7}"#).unwrap();
        assert_eq!(ForeignConfig::beside(&checkpoint).unwrap().integer("n_embed"), Some(7));
        fs::write(configs.join("net2net.yaml"), "n_embed: 8").unwrap();
        assert_eq!(ForeignConfig::beside(&checkpoints.join("net2net.ckpt")).unwrap().integer("n_embed"), Some(8));
        let index = checkpoints.join("model.safetensors.index.json");
        fs::write(&index, r#"{"n_embed": 9}"#).unwrap();
        assert_eq!(ForeignConfig::beside(&index).unwrap().integer("n_embed"), Some(1024));
    }
}
