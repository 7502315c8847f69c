//! What lies at a path that a recipe could train on.

use std::path::{Path, PathBuf};

use vqkit_data::{FolderConfig, SourceConfig, TemplateKind, guess};
use vqkit_recipe::InvalidRequest;
use vqkit_run::Context;

use crate::{error::Result, inspect::data::DataPlan};

/// Share of images that cannot be used above which the others are not worth a training.
const MOST_UNUSABLE: f64 = 0.5;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Where the samples come from.
    pub source: SourceConfig,
    /// Counts, sizes, classes and captions.
    pub plan: DataPlan,
    /// What the templates are, where there are any.
    pub template: Option<TemplateKind>,
    /// A folder of validation images whose classes or captions are not those of the others.
    pub unused: Option<PathBuf>,
}

impl Found {
    /// Looks at a folder, archives or a manifest.
    ///
    /// # Errors
    /// When there are fewer than two images, or most cannot be used.
    pub fn at(path: &Path, context: &Context) -> Result<Self> {
        let look = |source: &SourceConfig| DataPlan::of_source(source.clone(), &context.interrupt);
        let split = guess::split_at(path)?;
        let source = match &split {
            Some([train, _]) => folder(train, None),
            None => guess::source_at(path)?,
        };
        let template = match &source {
            SourceConfig::Pairs(pairs) => Some(pairs.template.clone()),
            _ => None,
        };
        let mut found = Self { plan: look(&source)?, source, template, unused: None };
        let refuse = |reason: String| Err(InvalidRequest::option("path", reason).into());
        match found.plan.bad.first() {
            Some(first) if found.plan.bad_share() > MOST_UNUSABLE => {
                let percent = 100.0 * found.plan.bad_share();
                return refuse(format!("{percent:.0} % of the images cannot be used; the first: {first}"));
            }
            _ if found.plan.images < 2 => {
                return refuse("there is one image; training and validation need one each".into());
            }
            _ => {}
        }
        if let Some([train, validation]) = split {
            match found.resembles(&look(&folder(&validation, None))?) {
                true => found.source = folder(&train, Some(validation)),
                false => found.unused = Some(validation),
            }
        }
        Ok(found)
    }

    /// Whether other images have the classes and captions of these.
    fn resembles(&self, others: &DataPlan) -> bool {
        let all = |count: usize| count == others.looked_at && others.looked_at > 0;
        let are_known = || others.classes.iter().all(|class| self.plan.classes.contains(class));
        (!self.has_classes() || (all(others.of_class.values().sum()) && are_known()))
            && (!self.has_captions() || all(others.captioned))
    }

    /// Whether every image that was looked at has a class, and classes are fewer than images.
    pub fn has_classes(&self) -> bool {
        let labelled: usize = self.plan.of_class.values().sum();
        let count = self.plan.num_classes as usize;
        (2..self.plan.images).contains(&count) && labelled == self.plan.looked_at
    }

    /// Whether every image that was looked at has a caption.
    pub fn has_captions(&self) -> bool {
        self.plan.looked_at > 0 && self.plan.captioned == self.plan.looked_at
    }

    /// Whether there is a set of validation images.
    pub fn has_validation(&self) -> bool {
        matches!(&self.source, SourceConfig::Folder(FolderConfig { validation: Some(_), .. }))
    }

    /// The side of the middle image, the shorter one.
    pub fn short_side(&self) -> u32 {
        let middle = self.plan.sizes.get(1).or(self.plan.sizes.first());
        middle.map_or(64, |[width, height]| *width.min(height))
    }
}

fn folder(train: &Path, validation: Option<PathBuf>) -> SourceConfig {
    SourceConfig::Folder(FolderConfig { train: train.to_owned(), validation })
}
