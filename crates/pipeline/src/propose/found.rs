//! What lies at a path that a recipe could train on.

use std::path::Path;

use vqkit_data::{FolderConfig, SourceConfig, TemplateKind};
use vqkit_recipe::InvalidRequest;
use vqkit_run::Context;

use crate::{error::Result, inspect::data::DataPlan, source_at};

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
    /// When there are fewer than two images, or most cannot be read.
    pub fn at(path: &Path, context: &Context) -> Result<Self> {
        let source = source_at::source_at(path)?;
        let plan = DataPlan::of_source(source.clone(), &context.interrupt)?;
        let refuse = |reason: String| Err(InvalidRequest::option("path", reason).into());
        match plan.bad.first() {
            Some(first) if plan.bad.len() > plan.looked_at => {
                let looked_at = plan.looked_at + plan.bad.len();
                return refuse(format!("{} of {looked_at} images cannot be used; the first: {first}", plan.bad.len()));
            }
            _ if plan.images < 2 => return refuse("there is one image; training and validation need one each".into()),
            _ => {}
        }
        let template = match &source {
            SourceConfig::Pairs(pairs) => Some(pairs.template.clone()),
            _ => None,
        };
        Ok(Self { source, plan, template })
    }

    /// Whether every image that was looked at has a class, and classes are fewer than images.
    pub fn has_classes(&self) -> bool {
        let labelled: usize = self.plan.of_class.values().sum();
        let count = self.plan.num_classes as usize;
        (2..=self.plan.images).contains(&count) && labelled == self.plan.looked_at
    }

    /// Whether every image that was looked at has a caption.
    pub fn has_captions(&self) -> bool {
        self.plan.looked_at > 0 && self.plan.captioned == self.plan.looked_at
    }

    /// Whether there is a set of validation images.
    pub fn has_validation(&self) -> bool {
        matches!(&self.source, SourceConfig::Folder(FolderConfig { validation: Some(_), .. }))
    }

    /// Share of the images that were looked at that cannot be read.
    pub fn bad_share(&self) -> f64 {
        self.plan.bad.len() as f64 / (self.plan.looked_at + self.plan.bad.len()).max(1) as f64
    }

    /// The side of the middle image, the shorter one.
    pub fn short_side(&self) -> u32 {
        let middle = self.plan.sizes.get(1).or(self.plan.sizes.first());
        middle.map_or(64, |[width, height]| *width.min(height))
    }
}
