//! Members of an archive that share a key, and the sample that they make.

use std::{collections::HashMap, fs::File, io};

use super::{
    index::{Index, Member, Span},
    member_text::{read_json, read_text},
};
use crate::{
    BadFile,
    sources::{endings::Ending, labels::Label, text::present},
};

/// Names of files about a whole archive; the case does not matter.
const CARDS: [&str; 27] = [
    "annotations",
    "authors",
    "captions",
    "card",
    "categories",
    "changelog",
    "citation",
    "class_names",
    "classes",
    "config",
    "dataset",
    "dataset_info",
    "index",
    "info",
    "labels",
    "license",
    "licence",
    "manifest",
    "meta",
    "metadata",
    "notice",
    "readme",
    "samples",
    "sizes",
    "splits",
    "stats",
    "wordnet",
];

/// A member that may belong to a sample.
pub(super) struct Part {
    /// Its whole name.
    name: String,
    /// What its name has between the key and the ending, as `seg` in `0001.seg.png`.
    field: Option<String>,
    /// The ending, in small letters.
    ending: String,
    span: Span,
}

/// Members that share a key and follow each other.
#[derive(Default)]
pub(super) struct Group {
    pub key: String,
    pub parts: Vec<Part>,
}

/// Labels or captions without an image beside them.
pub(super) struct Orphan {
    key: String,
    parts: Vec<Part>,
}

impl Part {
    /// The key of a member and what it is of the sample; `None` where it has none.
    pub(super) fn of(name: String, span: Span) -> Option<(String, Self)> {
        let start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (stem, rest) = name[start..].split_once('.')?;
        let key = name[..start + stem.len()].to_owned();
        let (field, ending) = match rest.rsplit_once('.') {
            Some((field, ending)) => (Some(field.to_owned()), ending.to_lowercase()),
            None => (None, rest.to_lowercase()),
        };
        Some((key, Self { field, ending, span, name }))
    }

    /// What it is counted as where it is not used.
    fn kind(&self) -> String {
        let field = self.field.iter().map(|field| format!(".{field}")).collect::<String>();
        format!("{field}.{}", self.ending)
    }

    /// Whether its name has a field between key and ending that is a word, as those of WebDataset are, and no part of a name with dots.
    fn has_word(&self) -> bool {
        let is_word = |field: &String| field.chars().all(|letter| letter.is_alphabetic() || "_-.".contains(letter));
        self.field.as_ref().is_some_and(is_word)
    }
}

impl Group {
    /// Adds the samples that these make to the index, or what is wrong with them; gives back what has no picture.
    pub(super) fn close(self, file: &File, index: &mut Index) -> Vec<Orphan> {
        self.by_name().into_iter().filter_map(|group| group.close_one(file, index)).collect()
    }

    /// One group for each name, where a digit stands behind the first dot of all of them: then the dot is that of a number, as in
    /// `v1.0_0005.png`, and ends no key.
    fn by_name(self) -> Vec<Self> {
        let has_number =
            |part: &Part| part.field.as_ref().is_some_and(|field| field.starts_with(|c: char| c.is_ascii_digit()));
        if !self.parts.iter().all(has_number) {
            return vec![self];
        }
        let mut groups: Vec<Self> = Vec::new();
        for mut part in self.parts {
            let field = part.field.take().unwrap_or_default();
            let end = end_of_name(&field);
            part.field = field.get(end + 1..).map(str::to_owned);
            let key = format!("{}.{}", self.key, &field[..end]);
            match groups.last_mut().filter(|group| group.key == key) {
                Some(group) => group.parts.push(part),
                None => groups.push(Self { key, parts: vec![part] }),
            }
        }
        groups
    }

    fn close_one(self, file: &File, index: &mut Index) -> Option<Orphan> {
        let pictures: Vec<usize> =
            (0..self.parts.len()).filter(|place| Ending::of(&self.parts[*place].name) != Ending::Other).collect();
        let is_image = |place: &&usize| Ending::of(&self.parts[**place].name) == Ending::Image;
        let plain = |place: &&usize| self.parts[**place].field.is_none();
        let image = pictures.iter().filter(is_image).find(plain).or_else(|| pictures.iter().find(is_image)).copied();
        match image {
            Some(image) => self.sample(image, file, index),
            None if pictures.is_empty() => return self.without_picture(index),
            None => {
                for part in pictures.iter().map(|place| &self.parts[*place]) {
                    let Ending::Unread(format) = Ending::of(&part.name) else { continue };
                    index.rejected.push(BadFile { key: part.name.clone(), reason: Ending::refusal(format) });
                }
            }
        }
        None
    }

    fn without_picture(self, index: &mut Index) -> Option<Orphan> {
        if self.parts.iter().any(|part| matches!(part.ending.as_str(), "cls" | "txt" | "json")) {
            return Some(Orphan { key: self.key, parts: self.parts });
        }
        self.parts.iter().for_each(|part| index.passed.add(&part.kind(), 1));
        None
    }

    fn sample(self, image: usize, file: &File, index: &mut Index) {
        let used = ["cls", "txt", "json"].map(|ending| self.beside(image, ending));
        for (place, part) in self.parts.iter().enumerate() {
            match Ending::of(&part.name) {
                _ if place == image || used.contains(&Some(place)) => {}
                Ending::Image if !part.has_word() || self.parts[image].field.is_some() => {
                    index.rejected.push(BadFile { key: part.name.clone(), reason: self.second(image) });
                }
                _ => index.passed.add(&part.kind(), 1),
            }
        }
        let span = |place: Option<usize>| place.map(|place| self.parts[place].span);
        let [class, caption, json] = used.map(span);
        let Part { name, span, .. } = &self.parts[image];
        match describe(file, class, caption, json) {
            Ok(About { label, caption, json_caption }) => index.members.push(Member {
                key: self.key,
                image_name: name.clone(),
                image: *span,
                label,
                caption,
                json,
                json_caption,
            }),
            Err(error) => index.rejected.push(BadFile { key: name.clone(), reason: error.to_string() }),
        }
    }

    /// Why an image beside another is not used.
    fn second(&self, image: usize) -> String {
        format!(
            "is a second image of the sample `{}`, whose image is {}; a sample has one image, and its name ends at the first dot",
            self.key, self.parts[image].name
        )
    }

    /// The part with this ending that belongs to the image: of the same name, or without a field, or where the image itself has a
    /// field, the only one.
    fn beside(&self, image: usize, ending: &str) -> Option<usize> {
        let field = &self.parts[image].field;
        let with = |wanted: &dyn Fn(&Part) -> bool| {
            let is_it = |place: &usize| self.parts[*place].ending == ending && wanted(&self.parts[*place]);
            // As when an archive is unpacked, the last of a name is the one.
            (0..self.parts.len()).rev().find(is_it)
        };
        let is_alone = self.parts.iter().filter(|part| part.ending == ending).count() == 1;
        let same = with(&|part| part.field == *field).or_else(|| with(&|part| part.field.is_none()));
        same.or_else(|| with(&|_| is_alone && field.is_some()))
    }
}

/// Where the part of a field ends that belongs to the name: at the first dot that no digit follows.
fn end_of_name(field: &str) -> usize {
    let ends = |dot: &usize| !field[dot + 1..].starts_with(|c: char| c.is_ascii_digit());
    field.match_indices('.').map(|(dot, _)| dot).find(ends).unwrap_or(field.len())
}

impl Orphan {
    /// Says of those that look like samples why they are none, and counts the others.
    pub(super) fn settle(orphans: Vec<Self>, index: &mut Index) {
        if orphans.is_empty() {
            return;
        }
        let images: HashMap<&str, &str> =
            index.members.iter().map(|member| (member.key.as_str(), member.image_name.as_str())).collect();
        let are_numbered = images.keys().all(|key| has_digit(key));
        let (mut rejected, mut passed) = (Vec::new(), Vec::new());
        for orphan in &orphans {
            let apart = images.get(orphan.key.as_str());
            match orphan.is_card(are_numbered) && apart.is_none() {
                true => passed.extend(orphan.parts.iter().map(Part::kind)),
                false => rejected.extend(orphan.refusal(apart)),
            }
        }
        passed.iter().for_each(|kind| index.passed.add(kind, 1));
        index.rejected.extend(rejected);
    }

    /// Whether it tells of the archive, and not of one sample: by its name, or because it is alone and has no number where all samples
    /// have one.
    fn is_card(&self, are_numbered: bool) -> bool {
        let name = file_name(&self.key).to_lowercase();
        let is_alone = self.parts.len() == 1 && self.parts.iter().all(|part| part.ending != "cls");
        CARDS.contains(&name.as_str()) || (is_alone && are_numbered && !has_digit(&name))
    }

    fn refusal(&self, apart: Option<&&str>) -> Option<BadFile> {
        let first = self.parts.first()?;
        let kinds: Vec<String> = self.parts.iter().map(Part::kind).collect();
        let reason = match apart {
            Some(image) => format!(
                "stands apart from its image {image}; the files of a sample must follow each other (tar --sort=name)"
            ),
            None => format!("has no image beside it: of the sample `{}` there is {}", self.key, kinds.join(" and ")),
        };
        Some(BadFile { key: first.name.clone(), reason })
    }
}

fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn has_digit(key: &str) -> bool {
    file_name(key).bytes().any(|letter| letter.is_ascii_digit())
}

/// What stands beside an image.
struct About {
    label: Option<Label>,
    /// Where the caption is, if it is not blank.
    caption: Option<Span>,
    /// Whether the JSON holds a caption that is needed.
    json_caption: bool,
}

fn describe(file: &File, class: Option<Span>, caption: Option<Span>, json: Option<Span>) -> io::Result<About> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let label = match class {
        Some(span) => Label::parse(&read_text(file, span)?).map_err(invalid)?,
        None => None,
    };
    let caption = match caption {
        Some(span) => present(&read_text(file, span)?).map(|_| span),
        None => None,
    };
    if label.is_some() && caption.is_some() {
        return Ok(About { label, caption, json_caption: false });
    }
    let annotation = json.map(|span| read_json(file, span)).transpose()?.unwrap_or_default();
    let json_caption = caption.is_none() && annotation.caption.is_some();
    Ok(About { label: label.or(annotation.class), caption, json_caption })
}
