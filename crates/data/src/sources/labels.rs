//! Class labels as they stand in the data, and the classes that they mean.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// A label as it stands in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Label {
    /// The class itself.
    Number(u32),
    /// Its name.
    Name(String),
}

impl Label {
    /// The label that `text` holds: a number if it reads as one, else a name; `None` where it is blank.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => None,
            text => Some(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)),
        }
    }
}

/// Classes above this are taken for a mistake: a label file that holds something else.
const MAX_CLASSES: u32 = 1 << 20;

/// Names that a message lists.
const LISTED: usize = 20;

/// The classes of a source.
#[derive(Debug)]
pub(crate) struct Classes {
    names: Vec<String>,
    by_name: HashMap<String, u32>,
    count: u32,
    closed: bool,
}

impl Classes {
    /// Of names given beforehand, or else of the labels that occur: their numbers, or their names in order.
    pub(crate) fn new<'a>(given: Option<&[String]>, labels: impl Iterator<Item = &'a Label>) -> Self {
        if let Some(names) = given {
            return Self::of_names(names.to_vec(), 0, true);
        }
        let (mut numbers, mut names) = (0, BTreeSet::new());
        for label in labels {
            match label {
                Label::Number(class) if *class < MAX_CLASSES => numbers = numbers.max(class + 1),
                Label::Number(_) => {}
                Label::Name(name) => drop(names.insert(name.as_str())),
            }
        }
        let names = if numbers == 0 { names.into_iter().map(str::to_owned).collect() } else { Vec::new() };
        Self::of_names(names, numbers, false)
    }

    fn of_names(names: Vec<String>, numbers: u32, closed: bool) -> Self {
        Self { by_name: by_name(&names), count: numbers.max(names.len() as u32), names, closed }
    }

    /// The class that `label` means.
    ///
    /// # Errors
    /// In words, where there is no such class.
    pub(crate) fn resolve(&self, label: &Label) -> Result<u32, String> {
        match label {
            Label::Number(class) if *class < self.count => Ok(*class),
            Label::Number(class) if self.closed => {
                Err(format!("class {class}, but there are only {} class names", self.count))
            }
            Label::Number(class) => Err(format!("class {class} is beyond the largest that is read, {MAX_CLASSES}")),
            Label::Name(name) => match self.by_name.get(name) {
                Some(class) => Ok(*class),
                None if self.closed => Err(format!("class `{name}` is not one of {}", self.listed())),
                None => Err(format!("class `{name}` is a name, but other samples have numbers; give `class_names`")),
            },
        }
    }

    /// The names, as far as a message has room for them.
    fn listed(&self) -> String {
        match self.names.get(..LISTED) {
            Some(some) if self.names.len() > LISTED => format!("{some:?} and {} more", self.names.len() - LISTED),
            _ => format!("{:?}", self.names),
        }
    }

    /// The names, where there are names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of classes.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

/// The class of each name.
pub(crate) fn by_name(names: &[String]) -> HashMap<String, u32> {
    names.iter().zip(0..).map(|(name, class)| (name.clone(), class)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Label {
        Label::Name(text.into())
    }

    #[test]
    fn names_are_classes_in_their_order() {
        let labels = [name("dog"), name("cat"), name("dog")];
        let classes = Classes::new(None, labels.iter());
        assert_eq!(classes.names(), ["cat", "dog"]);
        assert_eq!(classes.resolve(&name("dog")), Ok(1));
    }

    #[test]
    fn numbers_count_up_to_the_largest() {
        let labels = [Label::Number(4), Label::Number(1)];
        let classes = Classes::new(None, labels.iter());
        assert_eq!((classes.count(), classes.names().len()), (5, 0));
        assert_eq!(Label::parse(" 4\n"), Some(Label::Number(4)));
        assert!(classes.resolve(&name("cat")).unwrap_err().contains("give `class_names`"));
    }

    #[test]
    fn given_names_are_all_there_are() {
        let given = ["b".to_owned(), "a".to_owned()];
        let classes = Classes::new(Some(&given), [name("c")].iter());
        assert_eq!(classes.resolve(&name("a")), Ok(1));
        assert!(classes.resolve(&name("c")).unwrap_err().contains("not one of"));
        assert!(classes.resolve(&Label::Number(2)).unwrap_err().contains("only 2"));
        let many: Vec<String> = (0..100_000).map(|class| class.to_string()).collect();
        let error = Classes::new(Some(&many), [].iter()).resolve(&name("c")).unwrap_err();
        assert!(error.contains("and 99980 more") && error.len() < 300, "{error}");
    }
}
