//! What lies at a path that a recipe could train on.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use vqkit_data::{
    DepthMap, GrayTemplate, LabelMap, ManifestConfig, PairsConfig, PictureTemplate, Pixels, SourceConfig, TemplateKind,
    decode, decode_labels, read_file,
};
use vqkit_run::Context;

use crate::{error::Result, inspect::data::DataPlan};

/// Templates that are looked at.
const LOOKED_AT: usize = 50;

/// More values than a label map of that many pictures is likely to have.
const MOST_LABELS: usize = 192;

/// Largest file of a template that is looked at, in MiB.
const LARGEST_MB: u64 = 64;

/// Names of files with one line for each sample.
const MANIFESTS: [&str; 3] = ["csv", "tsv", "jsonl"];

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Where the samples come from.
    pub source: SourceConfig,
    /// Counts, sizes, classes and captions.
    pub plan: DataPlan,
    /// What the templates are, where there are any.
    pub template: Option<TemplateKind>,
}

impl Found {
    /// Looks at a folder, archives or a manifest.
    ///
    /// # Errors
    /// When there are no images.
    pub fn at(path: &Path, context: &Context) -> Result<Self> {
        let source = source_at(path)?;
        let plan = DataPlan::of_source(source.clone(), &context.interrupt)?;
        let template = match &source {
            SourceConfig::Pairs(pairs) => Some(pairs.template.clone()),
            _ => None,
        };
        Ok(Self { source, plan, template })
    }

    /// Whether every image that was looked at has a caption.
    pub fn has_captions(&self) -> bool {
        self.plan.looked_at > 0 && self.plan.captioned == self.plan.looked_at
    }

    /// The side of the middle image, the shorter one.
    pub fn short_side(&self) -> u32 {
        let middle = self.plan.sizes.get(1).or(self.plan.sizes.first());
        middle.map_or(64, |[width, height]| *width.min(height))
    }
}

fn source_at(path: &Path) -> Result<SourceConfig> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_manifest = path.extension().is_some_and(|found| MANIFESTS.iter().any(|known| found == *known));
    if is_manifest && path.is_file() {
        return Ok(SourceConfig::Manifest(ManifestConfig { train: absolute, validation: None, template: None }));
    }
    match pairs_at(&absolute)? {
        Some(pairs) => Ok(SourceConfig::Pairs(pairs)),
        None => Ok(SourceConfig::at_path(path)?),
    }
}

/// A folder `images`, and one other folder beside it whose files have the same names, but for their endings.
fn pairs_at(folder: &Path) -> Result<Option<PairsConfig>> {
    let images = folder.join("images");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let others: Vec<PathBuf> = entries.filter(|path| path.is_dir() && *path != images).collect();
    let [templates] = others.as_slice() else { return Ok(None) };
    let [of_images, of_templates] = [&images, templates].map(|folder| stems(folder));
    // Two classes, of which one is called `images`, have other names.
    if of_images.is_empty() || of_images.intersection(&of_templates).count() * 2 < of_images.len() {
        return Ok(None);
    }
    let Some(template) = kind_of(templates)? else { return Ok(None) };
    Ok(Some(PairsConfig {
        train: folder.to_owned(),
        validation: None,
        images: "images".into(),
        templates: templates.file_name().unwrap_or_default().into(),
        template,
    }))
}

/// Names of files without their endings.
fn stems(folder: &Path) -> BTreeSet<OsString> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_file()).filter_map(|path| path.file_stem().map(OsString::from)).collect()
}

/// What the pictures of a folder are as templates: maps of labels have few values, 16 bits are a depth.
fn kind_of(folder: &Path) -> Result<Option<TemplateKind>> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    for path in paths.iter().filter(|path| path.is_file()).take(LOOKED_AT) {
        let bytes = read_file(path, LARGEST_MB << 20)?;
        let name = path.display().to_string();
        let picture = match decode_labels(&bytes, &name) {
            Ok(labels) => labels,
            Err(_) => decode(&bytes, &name)?,
        };
        match picture.pixels() {
            Pixels::Gray16(_) => return Ok(Some(TemplateKind::Depth(DepthMap {}))),
            Pixels::Gray8(values) => values.iter().for_each(|value| *counts.entry(*value).or_default() += 1),
            _ => return Ok(Some(TemplateKind::Picture(PictureTemplate {}))),
        }
    }
    Ok(of_values(&counts))
}

/// Labels, if there are few values; the value 255 without its neighbours marks what has no label.
fn of_values(counts: &BTreeMap<u8, usize>) -> Option<TemplateKind> {
    let highest = *counts.keys().next_back()?;
    if counts.len() > MOST_LABELS {
        return Some(TemplateKind::Gray(GrayTemplate {}));
    }
    let unlabelled = highest == 255 && !counts.contains_key(&254);
    let last = counts.keys().copied().rfind(|value| !unlabelled || *value < 255).unwrap_or(0);
    let (count, offset) = if unlabelled { (u32::from(last) + 2, 1) } else { (u32::from(last) + 1, 0) };
    Some(TemplateKind::Labels(LabelMap { count, offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[u8]) -> Option<TemplateKind> {
        of_values(&values.iter().map(|value| (*value, 1)).collect())
    }

    #[test]
    fn the_value_255_alone_means_no_label() {
        assert_eq!(labels(&[0, 3, 150]), Some(TemplateKind::Labels(LabelMap { count: 151, offset: 0 })));
        assert_eq!(labels(&[0, 3, 20, 255]), Some(TemplateKind::Labels(LabelMap { count: 22, offset: 1 })));
        assert_eq!(labels(&[254, 255]), Some(TemplateKind::Labels(LabelMap { count: 256, offset: 0 })));
    }

    #[test]
    fn many_values_are_grey_levels() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(labels(&all), Some(TemplateKind::Gray(GrayTemplate {})));
        assert_eq!(labels(&[]), None);
    }
}
