//! Runs by name, in a folder of models.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vqkit_recipe::InvalidRequest;
use vqkit_run::Run;

use crate::error::Result;

/// The variable that names the folder of the models.
pub const MODELS: &str = "VQKIT_MODELS";

/// The folder of a model.
///
/// # Errors
/// When there is no model of that name; the message names those that there are, or says where they were looked for.
pub fn find(name: &str) -> Result<PathBuf> {
    let folders = folders();
    let is_name = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| is_name && is_run(path));
    found.ok_or_else(|| InvalidRequest::option("model", missing(name, &folders)).into())
}

/// Names and folders of the models.
pub fn all() -> Vec<(String, PathBuf)> {
    all_in(&folders())
}

fn all_in(folders: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let runs = entries.map(|entry| entry.path()).filter(|path| is_run(path));
    let named = runs.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let mut models: Vec<_> = named.collect();
    models.sort();
    models.dedup_by(|one, other| one.0 == other.0);
    models
}

fn is_run(path: &Path) -> bool {
    Run::find(path).unwrap_or(false)
}

/// Where models may be: the folder that the user names; else those of the checkout that the binary was built in, and
/// `share/vqkit/models` of the folder that it is installed in.
fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os(MODELS).filter(|named| !named.is_empty()) {
        return vec![named.into()];
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models");
    let binary = std::env::current_exe().ok();
    let installed = binary.and_then(|binary| Some(binary.parent()?.parent()?.join("share/vqkit/models")));
    [Some(checkout), installed].into_iter().flatten().collect()
}

fn missing(name: &str, folders: &[PathBuf]) -> String {
    let models = all_in(folders);
    let names: Vec<_> = models.iter().map(|(name, _)| name.as_str()).collect();
    let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    match names.is_empty() {
        false => format!("there is no model `{name}`; there are {}", names.join(", ")),
        true => format!(
            "there are no models in {}; set {MODELS} to a folder of runs, as `vqkit export --to run` writes them",
            looked.join(" or ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_record_is_a_model_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["emoji", "clothes"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("run.json"), "{}").unwrap();
        }
        fs::create_dir(folder.path().join("notes")).unwrap();
        let folders = [folder.path().to_owned()];
        let names: Vec<_> = all_in(&folders).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["clothes", "emoji"]);
        assert_eq!(missing("cat", &folders), "there is no model `cat`; there are clothes, emoji");
    }
}
