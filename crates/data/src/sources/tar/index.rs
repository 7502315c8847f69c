//! One pass over the headers of an archive: which samples there are, and where their bytes lie.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use tar::{Archive, Entry, EntryType};

use super::end::{self, BLOCK};
use crate::{BadFile, DataError, plain, sources::labels::Label};

/// Extensions of images inside archives.
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The largest label, caption or JSON member, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// The most that a member's headers take, in bytes: its name may be long, and have attributes.
const MAX_HEADERS: u64 = 1 << 20;

/// A range of bytes of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub offset: u64,
    pub len: u64,
}

/// A sample of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub key: String,
    pub image_name: String,
    pub image: Span,
    pub label: Option<Label>,
    pub caption: Option<Span>,
    pub json: Option<Span>,
    pub json_caption: bool,
}

/// The samples of an archive, and the members that are none.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub members: Vec<Member>,
    pub rejected: Vec<BadFile>,
    /// Where the mark of the end begins.
    pub end: u64,
}

/// What is used of a `.json` member.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Annotation {
    pub class: Option<Label>,
    pub caption: Option<String>,
}

/// Files that share a key and follow each other.
#[derive(Default)]
struct Group {
    key: String,
    image: Option<(String, Span)>,
    class: Option<Span>,
    caption: Option<Span>,
    json: Option<Span>,
}

impl Index {
    /// Reads the headers of `file`, which is at its beginning, and its class labels.
    ///
    /// # Errors
    /// [`DataError::Source`] where the archive is truncated, is compressed, is no tar archive, was overwritten with zeros, or goes on
    /// behind its end.
    pub(super) fn scan(path: &Path, file: &File) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::Source { path: path.into(), reason };
        let end = file.metadata().map_err(DataError::io(path))?.len();
        refuse_compressed(file).map_err(wrong)?;
        let read = Cell::new(0);
        let mut archive = Archive::new(Headers { file, read: &read });
        let mut scan = Scan { file, end, next: 0, group: Group::default(), index: Self::default() };
        for entry in archive.entries_with_seek().map_err(|error| wrong(error.to_string()))? {
            read.set(0);
            let entry = entry
                .map_err(|error| wrong(format!("is no sound tar archive: {error}, at byte {} of {end}", scan.next)))?;
            scan.take(&entry).map_err(wrong)?;
        }
        scan.finish().map_err(wrong)
    }
}

/// An archive whose headers are read one after the other, and none of which may be endless.
struct Headers<'a> {
    file: &'a File,
    read: &'a Cell<u64>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        match self.read.get() > MAX_HEADERS {
            true => Err(invalid(format!("a member has more than {MAX_HEADERS} bytes of headers"))),
            false => Ok(count),
        }
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

struct Scan<'a> {
    file: &'a File,
    end: u64,
    next: u64,
    group: Group,
    index: Index,
}

impl Scan<'_> {
    fn take(&mut self, entry: &Entry<'_, Headers>) -> Result<(), String> {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let span = Span { offset: entry.raw_file_position(), len: entry.size() };
        let stop = span.offset.saturating_add(span.len);
        if stop > self.end {
            return Err(format!(
                "is truncated: its member {name} ends at byte {stop}, the file at {}; fetch it again",
                self.end
            ));
        }
        self.next = stop.next_multiple_of(BLOCK);
        let kind = entry.header().entry_type();
        match (refusal(&name, kind), kind) {
            (Some(reason), _) => self.index.rejected.push(BadFile { key: name, reason }),
            (None, EntryType::Directory) => {}
            (None, _) => self.place(name, span),
        }
        Ok(())
    }

    fn place(&mut self, name: String, span: Span) {
        let (folder, file) = name.rsplit_once('/').map_or(("", name.as_str()), |(folder, file)| (folder, file));
        let Some((stem, extension)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            return;
        };
        let key = if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        if key != self.group.key {
            self.close();
            self.group.key = key;
        }
        let extension = extension.to_ascii_lowercase();
        match extension.as_str() {
            "cls" => self.group.class = Some(span),
            "txt" => self.group.caption = Some(span),
            "json" => self.group.json = Some(span),
            image if IMAGES.contains(&image) && self.group.image.is_some() => {
                self.index.rejected.push(BadFile { key: name, reason: "is a second image of the same sample".into() });
            }
            image if IMAGES.contains(&image) => self.group.image = Some((name, span)),
            _ => {}
        }
    }

    /// Makes a sample of the files gathered so far.
    fn close(&mut self) {
        let group = std::mem::take(&mut self.group);
        let Some((image_name, image)) = group.image else {
            if group.class.or(group.caption).or(group.json).is_some() {
                let reason = "has a label or caption but no image beside it; the files of a sample must follow each other \
                              (tar --sort=name)";
                self.index.rejected.push(BadFile { key: group.key, reason: reason.into() });
            }
            return;
        };
        let described = describe(self.file, group.class, group.caption, group.json);
        match described {
            Ok((label, json_caption)) => self.index.members.push(Member {
                key: group.key,
                image_name,
                image,
                label,
                caption: group.caption,
                json: group.json,
                json_caption,
            }),
            Err(error) => self.index.rejected.push(BadFile { key: image_name, reason: error.to_string() }),
        }
    }

    fn finish(mut self) -> Result<Index, String> {
        self.close();
        end::check(self.file, self.next, self.end)?;
        self.index.end = self.next;
        Ok(self.index)
    }
}

/// Why a member must not be used, whatever its content.
fn refusal(name: &str, kind: EntryType) -> Option<String> {
    let outside = |part| matches!(part, Component::ParentDir | Component::RootDir);
    match kind {
        _ if Path::new(name).components().any(outside) => Some("climbs out of the archive; it is not read".into()),
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        _ => Some("is a link or a special file, not a plain one".into()),
    }
}

/// The label of a sample, and whether its JSON holds a caption that is needed.
fn describe(
    file: &File,
    class: Option<Span>,
    caption: Option<Span>,
    json: Option<Span>,
) -> io::Result<(Option<Label>, bool)> {
    let label = class.map(|span| read_text(file, span)).transpose()?.as_deref().and_then(Label::parse);
    if label.is_some() && caption.is_some() {
        return Ok((label, false));
    }
    let annotation = json.map(|span| read_json(file, span)).transpose()?.unwrap_or_default();
    Ok((label.or(annotation.class), caption.is_none() && annotation.caption.is_some()))
}

/// The text of a small member.
pub(super) fn read_text(file: &File, span: Span) -> io::Result<String> {
    if span.len > MAX_TEXT {
        return Err(invalid(format!("its label or caption has {} bytes, more than {MAX_TEXT}", span.len)));
    }
    String::from_utf8(plain::read_at(file, span.offset, span.len)?)
        .map_err(|_| invalid("its label or caption is not UTF-8 text".into()))
}

/// The fields that are used of a `.json` member.
pub(super) fn read_json(file: &File, span: Span) -> io::Result<Annotation> {
    serde_json::from_str(&read_text(file, span)?).map_err(|error| invalid(format!("its .json: {error}")))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn refuse_compressed(file: &File) -> Result<(), String> {
    let head = plain::read_at(file, 0, 4).unwrap_or_default();
    match head.as_slice() {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [b'B', b'Z', b'h', _] | [0xfd, b'7', b'z', b'X'] => {
            Err("is compressed, which allows no random access; uncompress it first".into())
        }
        _ => Ok(()),
    }
}
