//! What a family of checkpoints does.

use crate::reading::{Reading, Source};

/// A project's way of writing one kind of model.
pub trait Family: Sync {
    /// Its short name: `taming-vqgan`.
    fn name(&self) -> &'static str;

    /// What it is, for messages: `VQGAN of taming-transformers`.
    fn title(&self) -> &'static str;

    /// The classes that a configuration names for it; empty where it has none.
    fn classes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a state has this family's names.
    fn matches(&self, source: &Source) -> bool;

    /// The networks in a state; `None` where the family is recognised, and its networks are none of vqkit's.
    ///
    /// # Errors
    /// What does not fit: a size that is missing, a configuration that says another size.
    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String>;
}
