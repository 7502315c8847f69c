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
    /// The label that `text` holds: a number if it is a whole one, also with a fraction of zeros, as tables have it where a cell of the
    /// column is empty; else a name; `None` where it is blank.
    ///
    /// # Errors
    /// In words, for a negative whole number.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        let whole = match text.split_once('.') {
            Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
            _ => text,
        };
        let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        match whole.strip_prefix('-') {
            _ if text.is_empty() => Ok(None),
            Some(digits) if is_whole(digits) => Err(format!("its class is {text}; {ALLOWED}")),
            _ if is_whole(whole) => Ok(Some(whole.parse().map_or_else(|_| Self::Name(whole.to_owned()), Self::number))),
            _ => Ok(Some(Self::Name(text.to_owned()))),
        }
    }

    /// The class of this number; one that is too large for a class is a name, such as a date.
    pub(crate) fn number(number: u64) -> Self {
        match u32::try_from(number) {
            Ok(class) if class < MAX_CLASSES => Self::Number(class),
            _ => Self::Name(number.to_string()),
        }
    }
}

/// What a class may be, at the end of a message.
pub(crate) const ALLOWED: &str = "a class is a whole number from 0 on, or a name; leave it out where there is none";

/// Numbers from this on are names: there are not as many classes.
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
                Label::Number(class) => numbers = numbers.max(class.saturating_add(1)),
                Label::Name(name) => drop(names.insert(name.as_str())),
            }
        }
        let names = if numbers == 0 { in_order(names) } else { Vec::new() };
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
            Label::Number(class) => Err(format!("class {class}, but there are only {} class names", self.count)),
            Label::Name(name) => match self.by_name.get(name) {
                Some(class) => Ok(*class),
                None if self.closed => Err(format!("class `{name}` is not one of {}", self.listed())),
                None => {
                    // Whole numbers above that are identifiers, and so names.
                    let most = MAX_CLASSES - 1;
                    Err(format!(
                        "class `{name}` is a name, but other samples have class numbers, which go up to {most}; give `class_names`"
                    ))
                }
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

/// The names in byte order; where all of them are whole numbers, in the order of these.
fn in_order(names: BTreeSet<&str>) -> Vec<String> {
    let mut names: Vec<&str> = names.into_iter().collect();
    if names.iter().all(|name| name.bytes().all(|digit| digit.is_ascii_digit())) {
        names.sort_by_key(|name| {
            let digits = name.trim_start_matches('0');
            (digits.len(), digits)
        });
    }
    names.into_iter().map(str::to_owned).collect()
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
        assert!(classes.resolve(&name("cat")).unwrap_err().contains("give `class_names`"));
    }

    #[test]
    fn every_text_is_a_number_a_name_or_none() {
        for (text, number) in [(" 4\n", 4), ("3.0", 3), ("3.000", 3), ("007", 7), ("1048575", 1_048_575)] {
            assert_eq!(Label::parse(text), Ok(Some(Label::Number(number))), "{text}");
        }
        for text in
            ["true", "nan", "1e5", "3000000000000", "20230101", "3.5", "3.", ".0", "1048576", "-", "a-1", "\u{0663}"]
        {
            assert_eq!(Label::parse(text), Ok(Some(name(text))), "{text}");
        }
        assert_eq!(Label::parse("20230101.0"), Ok(Some(name("20230101"))));
        assert_eq!((Label::parse(""), Label::parse(" \t")), (Ok(None), Ok(None)));
        for text in ["-1", " -20 ", "-1.0"] {
            let error = Label::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("its class is {}; a class is", text.trim())), "{error}");
        }
    }

    #[test]
    fn names_that_are_numbers_are_in_their_order() {
        let order = |names: &[&str]| {
            let labels: Vec<Label> = names.iter().map(|text| name(text)).collect();
            Classes::new(None, labels.iter()).names().to_vec()
        };
        assert_eq!(order(&["10", "2", "003", "0", "1"]), ["0", "1", "2", "003", "10"]);
        assert_eq!(order(&["10", "2", "a"]), ["10", "2", "a"]);
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
