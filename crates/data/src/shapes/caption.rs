//! The language of captions.

use std::fmt;

use super::{Hue, Looks, Relation, Shape, Size};

/// What a caption asks for: `a small red circle`, then, for each further object, how the first lies to it:
/// `a small red circle above a large blue square and left of a small green cross`.
///
/// ```
/// use vqkit_data::shapes::ParsedCaption;
///
/// let request = ParsedCaption::parse("a small red circle above a large blue square").unwrap();
/// assert_eq!(request.others.len(), 1);
/// assert_eq!(request.to_string(), "a small red circle above a large blue square");
/// assert_eq!(ParsedCaption::parse("two red circles"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedCaption {
    /// The object named first.
    pub first: Looks,
    /// How the first lies to each of the others.
    pub others: Vec<(Relation, Looks)>,
}

impl ParsedCaption {
    /// The request that `caption` makes; `None` where it is not in the language, or names more than three objects.
    pub fn parse(caption: &str) -> Option<Self> {
        let mut words = caption.split_whitespace().peekable();
        let first = looks(&mut words)?;
        let mut others = Vec::new();
        while words.peek().is_some() {
            if !others.is_empty() {
                words.next().filter(|word| *word == "and")?;
            }
            others.push((relation(&mut words)?, looks(&mut words)?));
        }
        (others.len() < 3).then_some(Self { first, others })
    }

    /// All the objects, the first one first.
    pub fn objects(&self) -> impl Iterator<Item = Looks> {
        std::iter::once(self.first).chain(self.others.iter().map(|(_, looks)| *looks))
    }
}

impl fmt::Display for ParsedCaption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        for (place, (relation, looks)) in self.others.iter().enumerate() {
            let and = if place == 0 { "" } else { "and " };
            write!(out, " {and}{} {looks}", relation.name())?;
        }
        Ok(())
    }
}

fn looks<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Looks> {
    words.next().filter(|word| matches!(*word, "a" | "an"))?;
    let size = named(words.next()?, &Size::ALL, Size::name)?;
    let hue = named(words.next()?, &Hue::ALL, Hue::name)?;
    let shape = named(words.next()?, &Shape::ALL, Shape::name)?;
    Some(Looks { size, hue, shape })
}

fn relation<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Relation> {
    match words.next()? {
        "above" => Some(Relation::Above),
        "below" => Some(Relation::Below),
        "left" => words.next().filter(|word| *word == "of").map(|_| Relation::LeftOf),
        "right" => words.next().filter(|word| *word == "of").map(|_| Relation::RightOf),
        _ => None,
    }
}

fn named<T: Copy>(word: &str, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|&member| name(member) == word)
}
