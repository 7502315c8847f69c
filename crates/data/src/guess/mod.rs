//! What a user's folder or file is as a source, where no recipe says so.

mod templates;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{DataError, ManifestConfig, PairsConfig, SourceConfig, sources::images_under};

/// Names of files with one line for each sample.
const MANIFESTS: [&str; 3] = ["csv", "tsv", "jsonl"];

/// The folder of the images that have templates.
const IMAGES: &str = "images";

/// Folders of training and of validation images; the first one that is there counts.
const TRAINING: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];

/// What archivers of macOS leave beside what was packed.
const LEFT_OVER: &str = "__MACOSX";

/// The source at a path: a manifest, images with templates, or whatever [`SourceConfig::at_path`] knows.
///
/// # Errors
/// When there is nothing of the kind; when there are templates, and none can be read.
pub fn source_at(path: &Path) -> Result<SourceConfig, DataError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if is_manifest(path) {
        return Ok(SourceConfig::Manifest(ManifestConfig { train: absolute, validation: None, template: None }));
    }
    match pairs_of(&absolute, &folders_of_images(path)?)? {
        Some(pairs) => Ok(SourceConfig::Pairs(pairs)),
        None => SourceConfig::at_path(path),
    }
}

/// The folder of training images and that of validation images, where a folder holds these and no other images.
///
/// # Errors
/// When a folder cannot be listed.
pub fn split_at(path: &Path) -> Result<Option<[PathBuf; 2]>, DataError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folders = folders_of_images(path)?;
    let is_part = |name: &str| TRAINING.iter().chain(&VALIDATION).any(|part| name == *part);
    let called =
        |names: &[&str]| names.iter().find(|name| folders.contains_key(**name)).map(|name| absolute.join(name));
    match (called(&TRAINING), called(&VALIDATION)) {
        (Some(train), Some(validation)) if folders.keys().all(|name| is_part(name)) => Ok(Some([train, validation])),
        _ => Ok(None),
    }
}

/// Whether a file has one line for each sample, by its name.
pub fn is_manifest(path: &Path) -> bool {
    let is_called = |known: &&str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(known));
    path.is_file() && MANIFESTS.iter().any(is_called)
}

/// The images in the folders of a folder, by their paths in these; none where the folder itself holds images.
fn folders_of_images(folder: &Path) -> Result<BTreeMap<String, Vec<String>>, DataError> {
    let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(folders);
    }
    for path in images_under(folder)? {
        match path.split_once('/') {
            Some((LEFT_OVER, _)) => {}
            Some((inner, image)) => folders.entry(inner.to_owned()).or_default().push(image.to_owned()),
            None => return Ok(BTreeMap::new()),
        }
    }
    Ok(folders)
}

/// A folder `images`, and one other folder beside it whose files have the same names, but for their endings.
fn pairs_of(folder: &Path, folders: &BTreeMap<String, Vec<String>>) -> Result<Option<PairsConfig>, DataError> {
    let others: Vec<_> = folders.iter().filter(|(name, _)| *name != IMAGES).collect();
    let (Some(images), [(templates, files)]) = (folders.get(IMAGES), others.as_slice()) else { return Ok(None) };
    let [of_images, of_templates] = [images, *files].map(|files| stems(files));
    // Two classes, of which one is called `images`, have other names.
    if of_images.intersection(&of_templates).count() * 2 < of_images.len() {
        return Ok(None);
    }
    let paths = files.iter().map(|file| folder.join(templates.as_str()).join(file)).collect();
    Ok(Some(PairsConfig {
        train: folder.to_owned(),
        validation: None,
        images: IMAGES.into(),
        templates: templates.into(),
        template: templates::kind_of(paths)?,
    }))
}

/// Paths without their endings.
fn stems(files: &[String]) -> BTreeSet<&str> {
    files.iter().map(|path| path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "P2 2 1 255 0 7").unwrap();
        }
        folder
    }

    #[test]
    fn images_and_templates_of_the_same_names_are_pairs_whatever_else_lies_there() {
        let source = |files: &[&str]| source_at(folder_with(files).path()).unwrap();
        for files in [
            &["images/a.pgm", "masks/a.pgm"][..],
            &["images/a.pgm", "masks/a.pgm", "masks/.DS_Store", "masks/classes.txt"],
            &["images/x/a.pgm", "masks/x/a.pgm", ".cache/a.pgm", "__MACOSX/images/a.pgm", "notes/readme.md"],
        ] {
            assert!(matches!(source(files), SourceConfig::Pairs(_)), "{files:?}");
        }
        for files in [
            &["images/a.pgm", "masks/b.pgm"][..],
            &["images/a.pgm", "masks/a.pgm", "others/a.pgm"],
            &["images/a.pgm", "masks/a.pgm", "b.pgm"],
        ] {
            assert!(matches!(source(files), SourceConfig::Folder(_)), "{files:?}");
        }
    }

    #[test]
    fn folders_for_training_and_validation_are_no_classes() {
        let split = |files: &[&str]| {
            let folder = folder_with(files);
            let parts = split_at(folder.path()).unwrap();
            parts.map(|parts| parts.map(|part| part.file_name().unwrap().to_owned()))
        };
        assert_eq!(split(&["train/cat/a.pgm", "val/cat/b.pgm"]), Some(["train".into(), "val".into()]));
        assert_eq!(split(&["train/a.pgm", "valid/b.pgm", "test/c.pgm"]), Some(["train".into(), "valid".into()]));
        for files in [&["train/a.pgm", "plane/b.pgm", "test/c.pgm"][..], &["train/a.pgm", "training/b.pgm"]] {
            assert_eq!(split(files), None);
        }
        assert_eq!(split(&["train/a.pgm", "val/b.pgm", "c.pgm"]), None);
    }
}
