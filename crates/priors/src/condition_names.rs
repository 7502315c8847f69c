//! The variables of a prior that read its conditions, by their names.

/// Parts of names, between two dots: a variable belongs to a group if its name has one of the group's parts.
///
/// ```
/// use vqkit_priors::{BuildPrior, Gpt2Config};
///
/// let names = Gpt2Config::new(12, 8, 512).condition_names();
/// assert!(names.is_class_table("class_emb.weight"));
/// assert!(names.reads_conditions("embedding_proj.bias") && !names.reads_conditions("blocks.0.mlp.0.bias"));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConditionNames {
    /// Tables with a row for each class, and behind them one for the null class, if there is one.
    pub class_tables: &'static [&'static str],
    /// Everything that only conditions pass through, tables of classes included.
    pub conditions: &'static [&'static str],
}

impl ConditionNames {
    /// Whether a variable is a table of classes.
    pub fn is_class_table(&self, name: &str) -> bool {
        has_part(name, self.class_tables)
    }

    /// Whether only conditions pass through a variable.
    pub fn reads_conditions(&self, name: &str) -> bool {
        has_part(name, self.conditions)
    }
}

fn has_part(name: &str, parts: &[&str]) -> bool {
    name.split('.').any(|part| parts.contains(&part))
}
