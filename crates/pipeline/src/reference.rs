//! Where the reference curves of a recipe are.

use std::path::Path;

use vqkit_run::ReferenceCurves;

use crate::error::Result;

/// Keys that may be overridden without another course of training.
const SAME: [&str; 4] = ["name", "seed", "precision", "data.root"];

/// The reference curves that come with a recipe: for `configs/demo.toml` the file `configs/curves/demo.csv`, if there is one.
/// `None` where `overrides`, each `key=value`, make it another training.
///
/// # Errors
/// When the file is not one of curves.
pub fn beside(recipe: &Path, overrides: &[String]) -> Result<Option<ReferenceCurves>> {
    let key = |pair: &String| pair.split_once('=').map_or(pair.as_str(), |(key, _)| key).trim().to_owned();
    let is_same = overrides.iter().map(key).all(|key| SAME.contains(&key.as_str()));
    let curves = recipe.with_file_name("curves").join(recipe.file_name().unwrap_or_default()).with_extension("csv");
    Ok((is_same && curves.is_file()).then(|| ReferenceCurves::read(&curves)).transpose()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_recipe_has_curves_unless_it_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (recipe, curves) = (folder.path().join("mine.toml"), folder.path().join("curves/mine.csv"));
        let has = |overrides: &[&str]| {
            let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
            beside(&recipe, &overrides).map(|curves| curves.is_some())
        };
        assert!(!has(&[]).unwrap());
        fs::create_dir(folder.path().join("curves")).unwrap();
        fs::write(&curves, "stage,metric,step,value,low,high\ntokenizer,usage_0,1,0.5,0.4,0.6\n").unwrap();
        assert!(has(&[]).unwrap());
        assert!(has(&["seed=3", "data.root = \"x\""]).unwrap());
        assert!(!has(&["seed=3", "tokenizer.train.steps=30"]).unwrap());
        fs::write(&curves, "nothing of the kind").unwrap();
        assert!(has(&[]).unwrap_err().to_string().contains("mine.csv"));
    }
}
