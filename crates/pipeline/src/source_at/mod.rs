//! The source of data at a path: what a newcomer's folder is.

mod templates;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use vqkit_data::{FolderConfig, ManifestConfig, PairsConfig, SourceConfig, images_under};

use crate::error::Result;

/// Names of files with one line for each sample.
const MANIFESTS: [&str; 3] = ["csv", "tsv", "jsonl"];

/// Folders of training and of validation images; the first one that is there counts.
const TRAINING: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];

/// What archivers of macOS leave beside what was packed.
const LEFT_OVER: &str = "__MACOSX";

/// The source at a path: a manifest, images with templates, a folder of training and one of validation images, or whatever
/// [`SourceConfig::at_path`] knows.
///
/// # Errors
/// When there is nothing of the kind.
pub fn source_at(path: &Path) -> Result<SourceConfig> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if is_manifest(path) {
        return Ok(SourceConfig::Manifest(ManifestConfig { train: absolute, validation: None, template: None }));
    }
    let folders = folders_of_images(&absolute)?;
    if let Some(pairs) = pairs_of(&absolute, &folders)? {
        return Ok(SourceConfig::Pairs(pairs));
    }
    match split_of(&folders) {
        Some(split) => Ok(SourceConfig::Folder(split)),
        None => Ok(SourceConfig::at_path(path)?),
    }
}

/// Whether a file has one line for each sample, by its name.
pub fn is_manifest(path: &Path) -> bool {
    let is_called = |known: &&str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(known));
    path.is_file() && MANIFESTS.iter().any(|known| is_called(&known))
}

/// The folders in a folder that hold images, and these.
fn folders_of_images(folder: &Path) -> Result<Vec<(PathBuf, Vec<String>)>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_left_over = |name: &str| name.starts_with('.') || name == LEFT_OVER;
    let mut folders = Vec::new();
    for path in entries.filter(|entry| !is_left_over(&entry.file_name().to_string_lossy())).map(|entry| entry.path()) {
        if path.is_dir() {
            let images = images_under(&path)?;
            folders.extend((!images.is_empty()).then_some((path, images)));
        }
    }
    folders.sort();
    Ok(folders)
}

/// A folder `images`, and one other folder beside it whose files have the same names, but for their endings.
fn pairs_of(folder: &Path, folders: &[(PathBuf, Vec<String>)]) -> Result<Option<PairsConfig>> {
    let (images, others): (Vec<_>, Vec<_>) = folders.iter().partition(|(path, _)| path.ends_with("images"));
    let ([(_, images)], [(templates, files)]) = (images.as_slice(), others.as_slice()) else { return Ok(None) };
    let [of_images, of_templates] = [images, files].map(|files| stems(files));
    // Two classes, of which one is called `images`, have other names.
    if of_images.intersection(&of_templates).count() * 2 < of_images.len() {
        return Ok(None);
    }
    let paths = files.iter().map(|file| templates.join(file)).collect();
    let Some(template) = templates::kind_of(paths) else { return Ok(None) };
    Ok(Some(PairsConfig {
        train: folder.to_owned(),
        validation: None,
        images: "images".into(),
        templates: templates.file_name().unwrap_or_default().into(),
        template,
    }))
}

/// Paths without their endings.
fn stems(files: &[String]) -> BTreeSet<&str> {
    files.iter().map(|path| path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem)).collect()
}

/// A folder of training images and one of validation images, and no other.
fn split_of(folders: &[(PathBuf, Vec<String>)]) -> Option<FolderConfig> {
    let called = |names: &[&str]| {
        let of_name = |name: &&str| folders.iter().find(|(path, _)| path.ends_with(name));
        names.iter().find_map(of_name).map(|(path, _)| path.clone())
    };
    let is_part = |path: &Path| TRAINING.iter().chain(&VALIDATION).any(|name| path.ends_with(name));
    let (train, validation) = (called(&TRAINING)?, called(&VALIDATION)?);
    folders.iter().all(|(path, _)| is_part(path)).then_some(FolderConfig { train, validation: Some(validation) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, and the source there.
    fn source(files: &[&str]) -> SourceConfig {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "P2 2 1 255 0 7").unwrap();
        }
        source_at(folder.path()).unwrap()
    }

    #[test]
    fn images_and_templates_of_the_same_names_are_pairs_whatever_else_lies_there() {
        for files in [
            &["images/a.pgm", "masks/a.pgm"][..],
            &["images/a.pgm", "masks/a.pgm", "masks/.DS_Store", "masks/classes.txt"],
            &["images/x/a.pgm", "masks/x/a.pgm", ".cache/a.pgm", "__MACOSX/images/a.pgm", "notes/readme.md"],
        ] {
            assert!(matches!(source(files), SourceConfig::Pairs(_)), "{files:?}");
        }
        for files in [&["images/a.pgm", "masks/b.pgm"][..], &["images/a.pgm", "masks/a.pgm", "others/a.pgm"]] {
            assert!(matches!(source(files), SourceConfig::Folder(_)), "{files:?}");
        }
    }

    #[test]
    fn folders_for_training_and_validation_are_no_classes() {
        let split = |files: &[&str]| match source(files) {
            SourceConfig::Folder(folder) => folder.validation.map(|path| path.file_name().unwrap().to_owned()),
            _ => None,
        };
        assert_eq!(split(&["train/cat/a.pgm", "val/cat/b.pgm"]), Some("val".into()));
        assert_eq!(split(&["train/a.pgm", "valid/b.pgm", "test/c.pgm"]), Some("valid".into()));
        assert_eq!(split(&["train/a.pgm", "plane/b.pgm", "test/c.pgm"]), None);
        assert_eq!(split(&["train/a.pgm", "training/b.pgm"]), None);
    }
}
