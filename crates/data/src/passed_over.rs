//! What of a source is no sample, by kind.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Kinds that are told apart; what comes after is counted together.
const MAX_KINDS: usize = 64;

/// Characters of a kind; longer ones are no endings of files.
const MAX_LENGTH: usize = 48;

/// Kinds that a message lists.
const LISTED: usize = 12;

/// What is counted together.
const REST: &str = "of other kinds";

/// What of a source is no sample and was passed over when it was opened: how much of each kind. A kind is mostly the ending of a
/// file's name, such as `.xml`; what looked like a sample and cannot be used is in [`View::rejected`](crate::View::rejected) instead.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # for name in ["a.txt", "b.txt", "c.xml", "d.pgm"] {
/// #     std::fs::write(folder.path().join(name), "P2 1 1 255 7")?;
/// # }
/// use vqkit_data::{DataConfig, SourceConfig};
///
/// let data = DataConfig::new(8, SourceConfig::at_path(folder.path())?).open()?;
/// assert_eq!(data.train.passed_over().to_string(), "2 .txt, 1 .xml");
/// assert_eq!(data.train.passed_over().total(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassedOver(BTreeMap<String, usize>);

impl PassedOver {
    /// Whether nothing was passed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much was passed over, of all kinds.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// The kinds in alphabetical order, and how much of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    /// Counts `count` more of this kind.
    pub(crate) fn add(&mut self, kind: &str, count: usize) {
        let is_known = self.0.contains_key(kind);
        let told_apart = is_known || (self.0.len() < MAX_KINDS && kind.chars().count() <= MAX_LENGTH);
        *self.0.entry(if told_apart { kind } else { REST }.to_owned()).or_default() += count;
    }

    /// Counts a file of this name by its ending.
    pub(crate) fn add_file(&mut self, name: &str) {
        match name.rsplit('/').next().unwrap_or(name).rsplit_once('.') {
            Some((_, ending)) => self.add(&format!(".{}", ending.to_lowercase()), 1),
            None => self.add("without an ending", 1),
        }
    }

    /// Counts `count` less of this kind.
    pub(crate) fn take_back(&mut self, kind: &str, count: usize) {
        if let Some(counted) = self.0.get_mut(kind) {
            *counted = counted.saturating_sub(count);
        }
        self.0.retain(|_, count| *count > 0);
    }

    /// Counts what another count has.
    pub(crate) fn extend(&mut self, other: &Self) {
        other.iter().for_each(|(kind, count)| self.add(kind, count));
    }

    /// The end of a message on a source that has no sample: what it has instead.
    pub(crate) fn instead(&self) -> String {
        if self.is_empty() { String::new() } else { format!("; passed over: {self}") }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<(&str, usize)> = self.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let (listed, rest) = kinds.split_at(kinds.len().min(LISTED));
        let shown: Vec<String> = listed.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        out.write_str(&shown.join(", "))?;
        match rest.iter().map(|(_, count)| count).sum::<usize>() {
            0 => Ok(()),
            count => write!(out, ", {count} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_is_counted_and_little_is_said(names in prop::collection::vec("[a-z]{1,3}(\\.[a-zA-Z0-9é]{0,60})?", 0..400)) {
            let mut passed = PassedOver::default();
            names.iter().for_each(|name| passed.add_file(name));
            let mut twice = passed.clone();
            twice.extend(&passed);
            prop_assert_eq!((passed.total(), twice.total()), (names.len(), 2 * names.len()));
            prop_assert!(passed.iter().count() <= MAX_KINDS + 1);
            prop_assert!(passed.to_string().chars().count() < (LISTED + 1) * (MAX_LENGTH + 12));
        }
    }

    #[test]
    fn the_most_come_first() {
        let mut passed = PassedOver::default();
        ["a.xml", "b/README", "c.XML", ".d/e.tar.gz"].iter().for_each(|name| passed.add_file(name));
        assert_eq!(passed.to_string(), "2 .xml, 1 .gz, 1 without an ending");
        assert_eq!(passed.instead(), "; passed over: 2 .xml, 1 .gz, 1 without an ending");
        assert_eq!(PassedOver::default().instead(), "");
    }
}
