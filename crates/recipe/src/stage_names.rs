//! The names of the stages, which are also the names of their folders inside a run.

use crate::recipe::Recipe;

/// Trains a classifier for its features.
pub const FEATURES: &str = "features";

/// Encodes every image.
pub const TOKENS: &str = "tokens";

/// Generates images.
pub const SAMPLES: &str = "samples";

/// The folder inside that of [`SAMPLES`] with images for people to look at.
pub const OVERVIEW: &str = vqkit_data::OVERVIEW;

/// Computes metrics and writes the report.
pub const REPORT: &str = "report";

/// The stages of the priors, coarse first: `prior/0` where there is one prior, `prior/0-top` and `prior/1-bottom` where
/// there are two.
pub fn stages(recipe: &Recipe) -> Vec<String> {
    let name = |level: usize| match (recipe.priors.len(), level) {
        (1, _) => "prior/0".to_owned(),
        (_, 0) => "prior/0-top".to_owned(),
        (count, level) if level + 1 == count => format!("prior/{level}-bottom"),
        (_, level) => format!("prior/{level}"),
    };
    (0..recipe.priors.len()).map(name).collect()
}
