//! Whether a picture shows what a caption asked for.

use std::fmt;

use super::{Looks, ObservedObject, ParsedCaption, Relation, read};
use crate::Picture;

/// Something that a caption asked for and a picture does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The caption is not in the language of [`ParsedCaption`].
    NoCaption(String),
    /// No object looks like this.
    Missing(Looks),
    /// The two are there, but do not lie as asked.
    Misplaced {
        /// The object named first.
        first: Looks,
        /// How it should lie.
        relation: Relation,
        /// To which other.
        other: Looks,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCaption(caption) => write!(out, "`{caption}` is no caption of shapes"),
            Self::Missing(looks) => write!(out, "{looks} is missing"),
            Self::Misplaced { first, relation, other } => write!(out, "{first} is not {} {other}", relation.name()),
        }
    }
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The objects that the picture shows, the largest first.
    pub found: Vec<ObservedObject>,
    /// What was asked for and is not there.
    pub problems: Vec<Problem>,
}

impl Verdict {
    /// Whether the picture holds every object, colour, size and relation that was asked for. It may hold more.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// The class that the picture shows: the shape of the largest object, where there is one.
    pub fn class(&self) -> Option<u32> {
        self.found.first().map(|object| object.looks.shape.class())
    }
}

/// Reads `picture`, and nothing else, and compares it with what `caption` asks for.
pub fn check(picture: &Picture, caption: &str) -> Verdict {
    let found = read(picture);
    let problems = match ParsedCaption::parse(caption) {
        Some(request) => problems(&request, &found),
        None => vec![Problem::NoCaption(caption.to_owned())],
    };
    Verdict { found, problems }
}

fn problems(request: &ParsedCaption, found: &[ObservedObject]) -> Vec<Problem> {
    let missing = missing(request, found);
    let firsts = (0..found.len()).filter(|&place| found[place].looks == request.first);
    let misplaced = firsts.map(|first| misplaced(request, found, first)).min_by_key(Vec::len).unwrap_or_default();
    let told = |problem: &Problem| matches!(problem, Problem::Misplaced { other, .. } if missing.contains(other));
    let misplaced: Vec<Problem> = misplaced.into_iter().filter(|problem| !told(problem)).collect();
    missing.into_iter().map(Problem::Missing).chain(misplaced).collect()
}

/// Objects asked for that have no object of their own.
fn missing(request: &ParsedCaption, found: &[ObservedObject]) -> Vec<Looks> {
    let mut free: Vec<Looks> = found.iter().map(|object| object.looks).collect();
    let mut missing = Vec::new();
    for looks in request.objects() {
        match free.iter().position(|other| *other == looks) {
            Some(place) => drop(free.swap_remove(place)),
            None => missing.push(looks),
        }
    }
    missing
}

/// The relations that fail when the object at `first` is the one named first; each other object is used once.
fn misplaced(request: &ParsedCaption, found: &[ObservedObject], first: usize) -> Vec<Problem> {
    let mut used = vec![first];
    let mut problems = Vec::new();
    for &(relation, other) in &request.others {
        let lies = |place: &usize| {
            let object = &found[*place];
            object.looks == other && Relation::between(found[first].middle, object.middle) == relation
        };
        match (0..found.len()).filter(|place| !used.contains(place)).find(lies) {
            Some(place) => used.push(place),
            None => problems.push(Problem::Misplaced { first: request.first, relation, other }),
        }
    }
    problems
}

/// Whether the first object of `request` lies to all others as it says, whatever their sizes: of `found`, objects of the shapes and
/// colours asked for.
pub fn lies_as_asked(request: &ParsedCaption, found: &[ObservedObject]) -> bool {
    let is =
        |object: &ObservedObject, looks: &Looks| (object.looks.shape, object.looks.hue) == (looks.shape, looks.hue);
    found.iter().filter(|object| is(object, &request.first)).any(|first| {
        let lies = |(relation, other): &(Relation, Looks)| {
            let mut others = found.iter().filter(|object| is(object, other));
            others.any(|object| Relation::between(first.middle, object.middle) == *relation)
        };
        request.others.iter().all(lies)
    })
}
